"""Examination of this machine: its capabilities and what it lacks. A library without processes.

``host``      findings; disk, shared memory, containers
``gpus``      NVIDIA GPUs, their driver, and what a container was given of them
``encoders``  GStreamer, and each encoder, really probed
``browser``   a browser on this machine
``quick``     the problems among these that are cheap to find, for a running fleet

``metabonk doctor`` prints all of it; a running fleet shows ``quick``.
"""
