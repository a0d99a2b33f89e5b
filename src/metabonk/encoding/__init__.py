"""From a drawn frame to an H.264 access unit, under a lease on the encoder.

``frame``        what comes in
``access_unit``  what goes out
``encoder``      what every encoder does
``backends``     the encoders there are
``sessions``     how many may be open at once, and who holds them
``ladder``       which encoder to try, best first, and why another one is out
``proofs``       what is known of the encoders of this host
``probe``        proves one in a child process
``opening``      walks the ladder until an encoder is open
``capacity``     how many workers can be live at once, and which of them together
"""
