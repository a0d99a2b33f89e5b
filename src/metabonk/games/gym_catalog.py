"""Finding Gymnasium environments by their ids, those of other packages included.

A package registers its environments when it is imported. For ids of well-known packages that
happens here; others are named as ``module:id``, which Gymnasium imports itself.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import NamedTuple

import gymnasium

from metabonk.errors import UnknownGame


class Package(NamedTuple):
    """A package that registers environments.

    Attributes:
        prefixes: beginnings of its ids.
        module: registers them when imported.
        distribution: name for pip.
    """

    prefixes: tuple[str, ...]
    module: str
    distribution: str


PACKAGES = (
    Package(("ALE/",), "ale_py", "ale-py"),
    Package(("MiniGrid-", "BabyAI-"), "minigrid", "minigrid"),
    Package(("MiniWorld-",), "miniworld", "miniworld"),
    Package(
        (
            *("highway-", "merge-", "roundabout-", "parking-", "intersection-", "racetrack-"),
            *("exit-", "two-way-", "u-turn-", "lane-keeping-"),
        ),
        "highway_env",
        "highway-env",
    ),
    Package(
        (
            "Fetch",
            "HandReach",
            "HandManipulate",
            "AntMaze_",
            "PointMaze_",
            "Adroit",
            "FrankaKitchen-",
        ),
        "gymnasium_robotics",
        "gymnasium-robotics",
    ),
    Package(("Panda",), "panda_gym", "panda-gym"),
    Package(("FlappyBird-",), "flappy_bird_gymnasium", "flappy-bird-gymnasium"),
    Package(("Vizdoom",), "vizdoom.gymnasium_wrapper", "vizdoom"),
)
"""Packages whose environments need no module in their ids, from each one's documentation."""


def import_package(name: str) -> None:
    """Import the package that registers an environment, where its id tells which one it is.

    Args:
        name: Gymnasium id, or ``module:id``.

    Raises:
        UnknownGame: the package is not installed; carries the command that installs it.
    """
    module, colon, _ = name.partition(":")
    if colon:
        if not _is_installed(module):
            raise UnknownGame(
                f"gym:{name}",
                f"there is no module {module!r}. Install its package with '{_pip()} PACKAGE', or "
                "add its folder to PYTHONPATH",
            )
        return  # Gymnasium imports it.
    for package in PACKAGES:
        if name.startswith(package.prefixes):
            if not _is_installed(package.module):
                advice = f"install its package with '{_pip()} {package.distribution}'"
                raise UnknownGame(f"gym:{name}", advice)
            importlib.import_module(package.module)


def require_registered(name: str) -> None:
    """Check the id of an environment.

    Raises:
        UnknownGame: there is none, with the nearest ids; or its package is not installed, with the
            command that installs it.
    """
    import_package(name)
    try:
        gymnasium.spec(name)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv) as error:
        raise not_registered(name, error) from None
    except gymnasium.error.Error:
        return  # An id without a version, for instance: the newest one is made.


def not_registered(name: str, error: gymnasium.error.Error) -> UnknownGame:
    """Return the error for an id that is not registered, with Gymnasium's nearest ids."""
    return UnknownGame(
        f"gym:{name}",
        f"{str(error).rstrip()} If another package has it, install that with '{_pip()} PACKAGE', "
        "and name the module that registers it: gym:MODULE:ID",
    )


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def _pip() -> str:
    """Return the command that installs into this environment."""
    pip = Path(sys.executable).parent / "pip"
    folder = Path.cwd()
    return f"{pip.relative_to(folder) if pip.is_relative_to(folder) else pip} install"
