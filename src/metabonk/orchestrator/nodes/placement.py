"""Workers spread over nodes by what each has. Pure."""

from collections.abc import Mapping

from metabonk.messages.nodes import NodeResources

CORES_PER_GPU = 4
"""A GPU makes the decisions of several cores' games."""


def weight(resources: NodeResources) -> int:
    """Return a node's share relative to others: its cores, and more for GPUs and encoder sessions.

    Neither adds more than the cores once again: it is these that play.
    """
    cores = resources.cores
    gpus = CORES_PER_GPU * len(resources.gpus)
    return cores + min(cores, gpus) + min(cores, resources.sessions)


def shares(workers: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Return how many workers each node gets: by weight, remainders to the largest fractions."""
    total = sum(weights.values())
    exact = {node: workers * each / total for node, each in weights.items()}
    counts = {node: int(each) for node, each in exact.items()}
    by_fraction = sorted(exact, key=lambda node: (counts[node] - exact[node], node))
    for node in by_fraction[: workers - sum(counts.values())]:
        counts[node] += 1
    return counts


def place(
    workers: int,
    weights: Mapping[str, int],
    homes: Mapping[int, str],
    holders: Mapping[int, str],
) -> dict[int, str]:
    """Return the node of every worker, by index; empty without nodes.

    A worker stays at its home as long as that has room for it, else where it is.

    Args:
        workers: number of them.
        weights: of the nodes that there are.
        homes: node that each worker was first given to, which may be gone.
        holders: node that each worker is on.
    """
    room = shares(workers, weights) if weights else {}
    placed: dict[int, str] = {}
    for wanted in (homes, holders):
        for index in range(workers):
            node = wanted.get(index)
            if index not in placed and node is not None and room.get(node, 0):
                placed[index] = node
                room[node] -= 1
    free = [node for node, count in room.items() for _ in range(count)]
    left = [index for index in range(workers) if index not in placed] if weights else []
    return placed | dict(zip(left, free, strict=True))
