"""Translation between a policy and an environment as its own package makes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from metabonk.games.doom import describe_doom
from metabonk.games.doom_scenarios import load_scenario
from metabonk.games.game import ActionKind, GameDescription
from metabonk.games.gym_actions import Actions
from metabonk.games.preprocessing import ObservationSpec, as_rgb, preprocess


@dataclass(frozen=True)
class EnvInterface:
    """Translation that a policy needs to play an environment that MetaBonk doesn't run.

    Attributes:
        description: of the game.
        observe: converts the environment's observation to an image, ``H×W×C`` uint8, or a vector,
            ``N`` float32; raises ValueError for one that is not of its space.
        frame_stack: images that the policy sees at once.
        actions: conversion of the policy's actions to the environment's.
        sees_action: an image has one more channel, see ``preprocessing.with_action``.
    """

    description: GameDescription
    observe: Callable[[Any], NDArray[Any]]
    frame_stack: int
    actions: Actions
    sees_action: bool = False


def frame_observer(spec: ObservationSpec) -> Callable[[Any], NDArray[Any]]:
    """Return the observation function of policies that see drawn frames, ``H×W×3`` RGB."""
    return lambda frame: preprocess(as_rgb(frame), spec)


def doom_interface(name: str, spec: ObservationSpec) -> EnvInterface:
    """Return the interface to ViZDoom: frames in, the buttons of ``DoomGame.make_action`` out.

    Raises:
        GameError: ViZDoom can't read the scenario.
    """
    scenario = load_scenario(name)
    buttons = [[float(down) for down in action] for action in scenario.actions]
    actions = Actions(ActionKind.DISCRETE, scenario.action_names, (), buttons.__getitem__)
    return EnvInterface(describe_doom(name, spec), frame_observer(spec), 1, actions)
