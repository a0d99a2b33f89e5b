"""What this machine can do, and what is missing; a library that knows no process.

``finding``   something that was found out, and what to do about it
``host``      disk and shared memory
``gpus``      NVIDIA's GPUs, their driver, and what a container was given of them
``glance``    all of these that a person should act on: cheap enough to be asked every second
``browser``   a browser on this machine, and what a page looks like in it
``gstreamer`` whether it is here, and what adds it
``encoders``  each encoder, really opened, fed and closed

``metabonk doctor`` prints all of it; a running fleet shows what ``glance`` sees.
"""
