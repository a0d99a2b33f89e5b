"""Encoder sessions: how many there may be, who holds them, and how to get one.

``lease``   one slot, held by a kernel lock for as long as its process lives
``pool``    the slots of one scarce encoder, and the rule for taking one
``nvml``    what NVIDIA's driver says of its GPUs and of everybody's sessions
``visible``  which of the GPUs a process may use, and which is a worker's (``cuda_order`` asks CUDA)
``limits``  how many sessions a GPU opens: the user's number, a table, experience
``pools``   the pools of this host
"""

from metabonk.encoding.sessions.lease import Holder, Lease
from metabonk.encoding.sessions.pool import Pool, Refusal
from metabonk.encoding.sessions.pools import Pools, open_pools

__all__ = ["Holder", "Lease", "Pool", "Pools", "Refusal", "open_pools"]
