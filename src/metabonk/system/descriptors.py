"""File descriptors that a process may open: sockets, files and pipes count alike."""

import resource

MAX_DESCRIPTORS = 65_536
"""Enough for every viewer that a machine can serve; some programs close or reserve every descriptor
up to the limit, which may be a billion."""


def raise_descriptor_limit() -> None:
    """Raise the soft limit as far as the hard one allows; children inherit it.

    The usual soft limit, 1024, protects programs that use ``select`` on many files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def descriptor_limit() -> int:
    """Return how many descriptors this process may open, at most ``MAX_DESCRIPTORS``."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, MAX_DESCRIPTORS)
