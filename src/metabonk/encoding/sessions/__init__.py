"""Encoder sessions: how many may be open, who holds them, and how to lease one.

``lease``          one slot, held by a kernel lock while its process lives
``slots``          the slot files of a pool, where they are, and their lock
``pool``           the sessions of one kind of encoder, and the rule for leasing one
``nvml``           NVIDIA GPUs and their encoder sessions, as the driver reports them
``gpu_selection``  the GPUs a process may use (``cuda_uuids`` queries CUDA's order)
``limits``         session limits: configured, assumed by driver, and learned from refusals
``shared_table``   what processes learn, on disk
``pools``          all pools of this host
"""

from metabonk.encoding.sessions.lease import Holder, Lease
from metabonk.encoding.sessions.pool import Pool, Refusal
from metabonk.encoding.sessions.pools import Pools, open_pools

__all__ = ["Holder", "Lease", "Pool", "Pools", "Refusal", "open_pools"]
