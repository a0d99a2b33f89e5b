"""Versions of the packages that a game consists of."""

import functools
from collections.abc import Iterator
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    packages_distributions,
)

import gymnasium

from metabonk.desktop import catalog, retro
from metabonk.games.gym_catalog import import_package

ENGINES = {
    "gymnasium.envs.box2d": ("box2d", "box2d-py"),
    "gymnasium.envs.mujoco": ("mujoco",),
}
"""Distributions that may hold the physics of Gymnasium's own environments, by their module."""


@functools.cache
def game_versions(game_id: str) -> dict[str, str]:
    """Return the versions of MetaBonk and of what a game consists of, by distribution.

    Args:
        game_id: of a game that was made. A module outside any distribution has no version.
    """
    kind, _, name = game_id.partition(":")
    if catalog.is_desktop(game_id):
        entry = catalog.load(game_id)
        others = {"definition": entry.digest, **catalog.package_versions(entry.definition)}
        own = list(entry.definition.modules)
    elif retro.is_retro(game_id):
        own, others = [retro.MODULE], {}
    else:
        others = {}
        own = ["vizdoom"] if kind == "doom" else ["gymnasium", "numpy", *_of_environment(name)]
    found = (_distribution(each) for each in ("metabonk", *own))
    return {each.name: each.version for each in found if each is not None} | others


def _of_environment(name: str) -> Iterator[str]:
    """Yield the distributions that may hold an environment and its engine."""
    import_package(name)
    entry_point = gymnasium.spec(name.rpartition(":")[2]).entry_point
    module = entry_point if isinstance(entry_point, str) else str(entry_point.__module__)
    package = module.partition(":")[0].partition(".")[0]
    # To look through all distributions for that of a module takes long.
    yield from [package] if _distribution(package) else packages_distributions().get(package, ())
    for prefix, engines in ENGINES.items():
        if module.startswith(prefix):
            yield from engines


def _distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None
