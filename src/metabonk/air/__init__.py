"""The process that puts the program on air: over RTMP, over WHIP, or as HLS in a folder.

It reads the program as any viewer does, so a stalled server fills a bounded queue and nothing else,
and packs it again without encoding. It is a process of its own because FFmpeg keeps Python's lock
while an RTMP server does not answer; then it is replaced, as any child that hangs.

Why: ``docs/adr/0021-on-air.md``.
"""
