"""From an H.264 access unit to everyone who watches.

``annexb``     takes access units apart
``fmp4``       packs them as fragmented MP4
``timeline``   when a picture is shown
``group``      what viewers get, and what one who joins now gets first
``viewer``     what waits for one viewer, and what a slow one loses
``hub``        one stream and its viewers; between the encode thread and asyncio
``mpegts``     the same access units as MPEG-TS
``snapshot``   the newest frame as JPEG
``offer``      what is taken of a WebRTC viewer's offer
``webrtc``     connections that pass the access units on
``http``, ``websocket``, ``whep``   the routes
``departure``  notices that a client has left
``rates``      counted rates

The first five and ``offer`` do no I/O, know no thread and no clock.
"""
