"""The child that starts a node agent on every machine of a Ray cluster (``node.ray_launcher``)."""

import os
from collections.abc import Iterator

from metabonk.orchestrator.processes.children import metabonk
from metabonk.orchestrator.processes.supervisor import ChildSpec
from metabonk.settings import Settings
from metabonk.settings.nodes import TOKEN_VARIABLE
from metabonk.system.process_ids import PARENT

NAME = "ray"


def peer_name(settings: Settings) -> str:
    """Return the name that it answers under (``system.peers``)."""
    return f"ray-{settings.ports.learner}"


def child_specs(settings: Settings, head: str, token: str | None) -> Iterator[ChildSpec]:
    """Yield it, if it is asked for.

    Args:
        settings: of the fleet.
        head: address of the page, for agents.
        token: of the nodes.
    """
    if settings.nodes.ray is None or token is None:
        return
    command = metabonk(
        "ray",
        *("--address", settings.nodes.ray),
        *("--head", head),
        *("--listen", peer_name(settings)),
        *(PARENT, str(os.getpid())),
    )
    log = settings.paths.logs / f"{NAME}.log"
    yield ChildSpec(NAME, lambda: command, log, environment={TOKEN_VARIABLE: token})
