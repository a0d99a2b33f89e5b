"""From an H.264 access unit to every viewer.

``fmp4``          access units as fragmented MP4
``unpack``        its inverse, for relays
``gop``           packed fragments, their times and the current GOP
``viewer_queue``  queue of one viewer, and what a slow viewer loses
``viewer``        one viewer on an asyncio loop
``fanout``        one stream and its viewers, between any thread and asyncio
``hub``           the stream of one encoder: access units, packed, to a fan-out
``mpegts``        access units as MPEG-TS
``snapshot``      the newest frame as JPEG
``stills``        the same over the connection of a relay
``sdp``           checks on a WebRTC viewer's offer
``webrtc``        WebRTC connections that carry the access units
``http``, ``websocket``, ``whep``  the routes

``fmp4``, ``unpack``, ``gop``, ``viewer_queue`` and ``sdp`` are pure: no I/O, no threads, no clock.
"""
