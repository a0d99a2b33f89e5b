"""What CUDA is told through the environment: which GPUs a process sees, in which order.

NVML counts every GPU of the machine, by its place on the bus. CUDA counts those that
``CUDA_VISIBLE_DEVICES`` names, in that order, so its numbers differ from NVML's and from process to
process. A UUID means the same to both.
"""

import os
from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_devices() -> str | None:
    """What the variable says: numbers or UUIDs with commas between; None: every GPU is seen."""
    return os.environ.get(VISIBLE)


def gpus_are_hidden() -> bool:
    """Whether the user has hidden every GPU, as CUDA's own programs understand it."""
    return visible_devices() in ("", "-1")


def seeing(uuid: str) -> dict[str, str]:
    """What the environment has to say for CUDA to see this GPU alone."""
    return {VISIBLE: uuid}


def environment_with(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with some changes, for a child."""
    return {**os.environ, **changes}
