"""What this machine can do, and what it lacks. A library: it knows no process.

``host``      findings; disk, shared memory, containers
``gpus``      NVIDIA GPUs, their driver, and what a container was given of them
``encoders``  GStreamer, and each encoder, really probed
``browser``   a browser on this machine
``quick``     the problems among these that are cheap to find, for a running fleet

``metabonk doctor`` prints all of it; a running fleet shows ``quick``.
"""
