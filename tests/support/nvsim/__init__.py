"""A simulated NVIDIA driver: real FFmpeg and real nvidia-ml-py run on it, without a GPU.

Three small libraries (``cuda.c``, ``encode.c``, ``ml.c``) answer for the driver where their folder
is on ``LD_LIBRARY_PATH``; x264 encodes. ``driver`` builds and steers them. It is for tests alone:
nothing of the product knows it.
"""
