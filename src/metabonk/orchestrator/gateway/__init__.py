"""Streams and status of workers, go2rtc and nodes, through ports of the orchestrator.

``workers``      every worker's stream and status through the page's port
``stills``       stills of workers without video
``worker_pipe``  workers by name under one port, as they are
``go2rtc_proxy`` go2rtc's port, with the checks of every loopback port
``forwarding``   unbuffered forwarding for all of them
"""
