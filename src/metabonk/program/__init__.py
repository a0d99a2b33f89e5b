"""The program process: one stream that follows the director, for players, restreamers and the air.

It joins the streams of workers as any relay does, passes on one of them at a time, and cuts to the
next at a keyframe. It never ends while somebody watches and has one size throughout: a stream of
another size is scaled (``resizer``), and where nobody is live there is a card. While nobody watches
it joins nothing and does nothing.

Why: ``docs/adr/0018-one-program.md``.
"""
