"""From a drawn frame to an H.264 access unit, under a lease on the encoder.

``access_unit``  an encoded frame, the output
``encoder``      interface of every encoder
``backends``     the encoders themselves
``sessions``     leases on encoder sessions
``ladder``       encoders in order of preference, and the reason each one is refused
``probe``        cached probes of encoders, each run in a child process (``probe_child``)
``session``      opens an encoder by walking the ladder
``capacity``     how many workers, and which ones, can be live at once
"""
