"""Settings of a node: those of the fleet, but for what belongs to the machine. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from metabonk.errors import StartError
from metabonk.settings import Settings
from metabonk.settings.load import settings_values
from metabonk.settings.schema import LOOPBACK
from metabonk.settings.validation import validate

OF_THE_MACHINE = ("gpus", "ports", "paths", "nvenc", "nvml", "cpu", "hub")
FOLDER = "nodes"
"""In the folders of runs and logs, which the head and other nodes may share."""


def node_settings(
    local: Settings, fleet: dict[str, Any], name: str, ports: Mapping[str, int]
) -> Settings:
    """Return the settings of a node's workers.

    Args:
        local: of the machine.
        fleet: of the head, as JSON values.
        name: of the node.
        ports: of the agent for its workers, ``orchestrator`` and ``learner``, and the workers'.

    Raises:
        StartError: the fleet's can't be used here.
    """
    own = settings_values(local)
    values = {name: value for name, value in fleet.items() if name not in OF_THE_MACHINE}
    values |= {name: own[name] for name in OF_THE_MACHINE}
    values |= {"host": LOOPBACK, "public_url": None, "nodes": {}, "go2rtc": {}, "tracking": {}}
    values["ports"] = {**own["ports"], **ports}
    values["paths"] = {
        **own["paths"],
        "logs": str(local.paths.logs / FOLDER / name),
        "runs": str(local.paths.runs / FOLDER / name),
    }
    settings, mistakes = validate(values)
    if mistakes:
        raise StartError(f"the fleet's settings can't be used here: {'; '.join(mistakes)}")
    return settings


def node_name(host: str) -> str:
    """Return the name of a node after that of its machine."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", host).lstrip("._-")[:63]
    return name or "node"
