"""The inference server: forward passes for the games of all workers that share a GPU.

``process``  fetches weights and serves until it is stopped
``server``   connections of workers, whose requests are answered together
``batch``    one forward pass for observations that lie in several workers' memory
"""
