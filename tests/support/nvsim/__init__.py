"""A simulated NVIDIA driver: real FFmpeg and real nvidia-ml-py run on it, without a GPU.

Three small libraries (``cuda.c``, ``encode.c``, ``ml.c``) replace the driver's when their folder is
on ``LD_LIBRARY_PATH``; x264 does the encoding. ``driver`` builds and controls them. For tests only:
the product knows nothing of it.
"""
