"""Saliency maps of replays, compared with those of the policy while it played."""

import base64
import contextlib
import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metabonk.errors import EpisodeDiffers
from metabonk.frame import Frame
from metabonk.games import GameDescription, describe_game, make_game
from metabonk.policy import Actor, PolicySpec, encode_weights
from metabonk.policy.episode_log import EpisodeLog, EpisodeSetup
from metabonk.policy.episode_recorder import EpisodeRecorder
from metabonk.policy.network import ActorCritic
from metabonk.replays.renderer import opened_game, repeat
from metabonk.replays.saliency import PERIOD_S, SaliencyWriter, why_no_saliency
from metabonk.replays.track import make_track
from metabonk.runs.checkpoints import trained_weights
from metabonk.settings.learning import Learning
from tests.support.children import descendants, disregard_earlier_descendants
from tests.support.trained_runs import write_run
from tests.support.waiting import until

DOOM = "doom:basic"
PIXELS = {"observation": "pixels"}
STEPS = 40


class Played(NamedTuple):
    """An episode as it was played.

    Attributes:
        log: of the episode.
        learning: settings of its run.
        weights: that took the last step.
        maps: of every step, by the policy that took it.
    """

    log: EpisodeLog
    learning: Learning
    weights: bytes
    maps: list[NDArray[np.uint8]]

    @property
    def description(self) -> GameDescription:
        return describe_game(self.log.setup.game, self.learning)


def play(
    folder: Path,
    game_id: str,
    *,
    size: tuple[int, int] | None = None,
    earlier: int = 0,
    **given: Any,
) -> Played:
    """Play the beginning of an episode and compute a map of every step.

    Args:
        folder: for a run.
        game_id: of the game.
        size: that is drawn; None: nothing is.
        earlier: steps that another policy takes first.
        given: settings of learning.
    """
    learning = Learning.model_validate(given)
    weights = trained_weights(write_run(folder, game_id, **given))
    with contextlib.closing(make_game(game_id, learning, render_size=size)) as game:
        spec = PolicySpec.of(game, learning)
        actor = Actor(spec, seed=3, device=torch.device("cpu"))
        actor.load(weights if not earlier else other_weights(spec))
        recorder = EpisodeRecorder(EpisodeSetup.of(game.description, learning))
        recorder.begin(11, game.carried_state())
        observation = game.reset(11)
        maps, total_reward = [], 0.0
        for step in range(STEPS):
            if step == earlier:
                actor.load(weights)
            (decision,) = actor.act([observation], [0])
            maps.append(actor.saliency(observation, decision))
            transition = game.step(decision.action, None if size is None else drawn)
            recorder.add(decision, transition)
            total_reward += transition.reward
            observation = transition.observation
            if transition.terminated or transition.truncated:
                break
        recording = recorder.finish(actor.version, total_reward)
    assert recording is not None
    data = recording.to_bytes()
    assert data is not None
    return Played(EpisodeLog.from_bytes(data), learning, weights, maps)


def drawn(draw_frame: Callable[[], Frame]) -> None:
    draw_frame()


def other_weights(spec: PolicySpec) -> bytes:
    torch.manual_seed(77)
    network = ActorCritic(spec)
    torch.nn.init.orthogonal_(network.policy_head.weight, 3.0)
    return encode_weights(network, 11)


def maps_of(
    file: Path, played: Played, policy: bytes | Path | None, size: tuple[int, int] = (640, 360)
) -> list[dict[str, Any]]:
    """Return the lines that are written while the episode is drawn at ``size``."""
    log, description = played.log, played.description
    times = make_track(log, description).times
    with (
        opened_game(log.setup, played.learning, size) as game,
        SaliencyWriter(file, log, times, game.description, played.learning, policy) as maps,
    ):
        repeat(log, game, lambda tic, draw: drawn(draw), has_end=False, on_step=maps.add)
    return [json.loads(line) for line in file.read_text().splitlines()]


def steps_of(played: Played, lines: list[dict[str, Any]]) -> list[int]:
    times = make_track(played.log, played.description).times
    return [times.index(line["time"]) for line in lines]


def assert_shown(played: Played, step: int, line: dict[str, Any]) -> None:
    """Check that a line is the map of a step."""
    shape = line["rows"], line["columns"]
    cells = np.frombuffer(base64.b64decode(line["cells"]), np.uint8).reshape(shape)
    assert np.array_equal(cells, played.maps[step])


@pytest.mark.parametrize(
    ("game_id", "given"),
    [(DOOM, {}), (DOOM, {"recurrent": True}), ("gym:CartPole-v1", PIXELS | {"recurrent": True})],
)
def test_maps_are_of_what_the_policy_saw_when_nobody_watched(
    tmp_path: Path, game_id: str, given: dict[str, Any]
):
    played = play(tmp_path, game_id, **given)
    lines = maps_of(tmp_path / "maps", played, played.weights)
    steps = steps_of(played, lines)
    assert steps[0] == 0
    assert len(steps) > 1
    assert np.diff([line["time"] for line in lines]).min() >= PERIOD_S
    for step, line in zip(steps, lines, strict=True):
        assert_shown(played, step, line)
    assert len({line["cells"] for line in lines}) > 1, "they change"


def test_maps_are_of_what_the_policy_saw_when_it_was_live(tmp_path: Path):
    played = play(tmp_path, DOOM, size=(640, 360))
    lines = maps_of(tmp_path / "maps", played, played.weights, (640, 360))
    for step, line in zip(steps_of(played, lines), lines, strict=True):
        assert_shown(played, step, line)


def test_steps_of_an_earlier_policy_have_no_map(tmp_path: Path):
    played = play(tmp_path, DOOM, earlier=STEPS // 2)
    lines = maps_of(tmp_path / "maps", played, played.weights)
    steps = steps_of(played, lines)
    assert min(steps) < STEPS // 2 <= max(steps)
    for step, line in zip(steps, lines, strict=True):
        if step < STEPS // 2:
            assert line == {"time": line["time"], "columns": 0, "rows": 0, "cells": None}
        else:
            assert_shown(played, step, line)


def test_an_episode_that_differs_ends_the_second_game(tmp_path: Path):
    played = play(tmp_path, DOOM)
    rewards = played.log.rewards.copy()
    rewards[12] += 1.0
    different = played._replace(log=dataclasses.replace(played.log, rewards=rewards))
    disregard_earlier_descendants()
    with pytest.raises(EpisodeDiffers):
        maps_of(tmp_path / "maps", different, played.weights)
    until("its engines have ended", lambda: not descendants())


def test_a_policy_that_cannot_be_used_ends_the_maps_and_not_the_replay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    played = play(tmp_path, "gym:CartPole-v1", **PIXELS)
    for policy in (tmp_path / "pruned.safetensors", played.weights[:500]):
        with caplog.at_level(logging.WARNING):
            assert maps_of(tmp_path / "maps", played, policy) == []
    assert "pruned.safetensors can't be read: No such file" in caplog.text
    assert "not safetensors" in caplog.text


def test_a_full_disk_is_an_error(tmp_path: Path):
    played = play(tmp_path, "gym:CartPole-v1", **PIXELS)
    (tmp_path / "maps").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        maps_of(tmp_path / "maps", played, played.weights)


def test_why_there_are_none_is_said(tmp_path: Path):
    played = play(tmp_path, "gym:CartPole-v1", **PIXELS)
    vector = describe_game("gym:CartPole-v1", Learning())
    assert why_no_saliency(played.log, played.description, played.weights) is None
    numbers = why_no_saliency(played.log, vector, played.weights)
    assert numbers is not None
    assert numbers.endswith("the policy observes numbers, not images")
    missing = why_no_saliency(played.log, played.description, None)
    assert missing is not None
    assert "the checkpoint of policy 12" in missing
    assert maps_of(tmp_path / "maps", played, None) == []
