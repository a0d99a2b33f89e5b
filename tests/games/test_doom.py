"""Doom with real engines."""

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from metabonk.errors import GameError
from metabonk.frame import Frame
from metabonk.games import FrameSink, Observation, Transition, available_games, make_game
from metabonk.games.doom import Doom, describe_doom
from metabonk.games.preprocessing import ObservationSpec, observe
from metabonk.settings.learning import Learning
from tests.support.census import engines_of
from tests.support.frames import drawing_into
from tests.support.waiting import until

SMALL, LARGE = (256, 144), (1280, 720)
WAIT, MOVE_LEFT = 0, 1
VIEW = ObservationSpec(128, 72)


@pytest.fixture
def doom() -> Iterator[Doom]:
    game = Doom("basic", frame_skip=4)
    yield game
    game.close()


def engines() -> list[psutil.Process]:
    """Return the engine processes that this process started."""
    return engines_of(psutil.Process())


def play_episode(
    game: Doom, on_frame: FrameSink | None = None, action: int = WAIT
) -> list[Transition]:
    """Repeat one action until the episode is over."""
    transitions = [game.step(action, on_frame)]
    while not (transitions[-1].terminated or transitions[-1].truncated):
        transitions.append(game.step(action, on_frame))
    return transitions


@pytest.mark.parametrize("game_id", available_games())
def test_every_available_game_plays_two_episodes(game_id: str):
    game = make_game(game_id, Learning())
    try:
        for _ in range(2):
            observation = game.reset(1)
            assert observation.shape == game.observation_shape == (72, 128, 3)
            assert observation.dtype == np.uint8
            assert observation.std() > 5
            assert isinstance(game.step(len(game.action_names) - 1).reward, float)
    finally:
        game.close()


def test_a_time_limit_truncates_without_terminating(doom: Doom):
    doom.reset(1)
    transitions = play_episode(doom)
    assert len(transitions) == 300 / 4
    assert transitions[-1].truncated
    assert not any(transition.terminated for transition in transitions)
    assert sum(transition.reward for transition in transitions) == -300


def test_the_last_step_is_shortened_to_the_time_limit():
    game = Doom("basic", frame_skip=7)
    try:
        game.reset(1)
        transitions = play_episode(game)
        assert [transition.reward for transition in transitions] == [-7.0] * 42 + [-6.0]
        assert [transition.tics for transition in transitions] == [7] * 42 + [6]
    finally:
        game.close()


def test_a_death_terminates_without_truncating():
    game = Doom("deadly_corridor", frame_skip=4)
    try:
        before = game.reset(1)
        transitions = play_episode(game)
        assert transitions[-1].terminated
        assert not transitions[-1].truncated
        assert transitions[-1].reward <= -99
        # The engine draws nothing after the end, so the last frame is repeated.
        assert transitions[-1].observation.shape == before.shape
        assert (transitions[-1].observation == transitions[-2].observation).all()
    finally:
        game.close()


def test_the_seed_determines_the_episode():
    def first_observations(*seeds: int) -> NDArray[np.uint8]:
        game = Doom("basic", frame_skip=4)
        try:
            return np.stack([game.reset(seed) for seed in seeds])
        finally:
            game.close()

    first = first_observations(1, 2, 2**31 - 1)
    assert (first == first_observations(1, 2, 2**31 - 1)).all()
    assert (first[0] != first[1]).any()
    assert (first_observations(2) == first[1]).all(), "whatever was played before"


def test_every_drawn_tic_is_emitted_in_order(doom: Doom):
    doom.reset(1)
    frames: list[Frame] = []
    transitions = play_episode(doom, drawing_into(frames), MOVE_LEFT)
    assert len(frames) == 300
    assert {frame.pixels.shape for frame in frames} == {(144, 256, 3)}
    times = [frame.captured_at for frame in frames]
    assert times == sorted(times)
    assert len(transitions) == 75
    # Each frame has its own buffer.
    assert len({frame.pixels.tobytes() for frame in frames}) > 10
    for step, transition in enumerate(transitions):
        assert (transition.observation == observe(frames[4 * step + 3], VIEW)).all()


def test_the_final_observation_of_a_truncated_episode_is_the_current_one():
    game = Doom("defend_the_center", frame_skip=150)
    try:
        game._scenario = dataclasses.replace(game._scenario, timeout_tics=200)
        game.reset(1)
        frames: list[Frame] = []
        game.step(1, drawing_into(frames))
        last = game.step(1, drawing_into(frames))
        assert last.truncated
        assert len(frames) == 200
        assert (last.observation == observe(frames[-1], VIEW)).all()
        assert (frames[-1].pixels != frames[-2].pixels).any()
    finally:
        game.close()


def test_drawing_every_tic_does_not_change_rewards():
    def rewards(on_frame: FrameSink | None) -> list[float]:
        game = Doom("defend_the_center", frame_skip=4)
        try:
            game.reset(1)
            return [game.step(step % 4, on_frame).reward for step in range(60)]
        finally:
            game.close()

    assert rewards(None) == rewards(drawing_into([]))


def test_observations_are_nearly_the_same_at_every_render_size():
    def observations_at(size: tuple[int, int] | None) -> NDArray[np.float32]:
        game = Doom("health_gathering", frame_skip=4)
        try:
            game.set_render_size(size)
            observations = [game.reset(1)]
            observations += [game.step(step % 4).observation for step in range(20)]
            return np.stack(observations).astype(np.float32)
        finally:
            game.close()

    small, large = observations_at(None), observations_at(LARGE)
    difference = np.abs(small - large).mean()
    # Textures are sampled at other points; a field of view off by one pixel would double
    # the difference.
    assert difference < 5
    for axis in (2, 3):
        assert np.abs(small - np.roll(large, 1, axis)).mean() > 1.3 * difference


def test_a_new_render_size_takes_effect_at_the_next_episode(doom: Doom):
    doom.reset(1)
    doom.set_render_size(LARGE)
    doom.step(WAIT)
    assert doom.source_size == SMALL
    assert doom.frame().pixels.shape == (144, 256, 3)
    observation = doom.reset(1)
    assert doom.source_size == LARGE
    assert doom.frame().pixels.shape == (720, 1280, 3)
    assert observation.shape == (72, 128, 3)
    doom.set_render_size(None)
    doom.reset(1)
    assert doom.source_size == SMALL
    assert len(engines()) == 1


def test_a_game_that_starts_large_starts_no_other_engine():
    with contextlib.closing(Doom("basic", frame_skip=4, render_size=(640, 360))) as game:
        started = engines()
        game.set_render_size((640, 360))
        game.reset(1)
        assert game.frame().pixels.shape == (360, 640, 3)
        assert engines() == started


def test_a_withdrawn_render_size_changes_nothing_and_leaves_no_engine(doom: Doom):
    doom.reset(1)
    for size in (LARGE, None, (1920, 1080), LARGE, None):
        doom.set_render_size(size)
    doom.reset(1)
    assert doom.source_size == SMALL
    doom.close()
    assert engines() == []


def test_an_engine_is_replaced_after_many_episodes_without_interrupting_play(
    doom: Doom, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("metabonk.games.doom.MAX_EPISODES", 3)
    (first,) = engines()
    for _ in range(3):
        doom.reset(1)
    assert first in engines()

    def is_replaced() -> bool:
        doom.reset(1)
        doom.step(WAIT)
        return first not in engines()

    until("the engine is replaced", is_replaced, 60)
    assert doom.source_size == SMALL
    doom.set_render_size(LARGE)
    doom.reset(1)
    assert doom.source_size == LARGE
    doom.close()
    assert engines() == []


def test_the_nearest_supported_size_is_rendered(doom: Doom):
    doom.set_render_size((854, 480))
    doom.reset(1)
    assert doom.source_size == (640, 360)


def test_closing_while_an_engine_starts_leaves_no_engine(doom: Doom):
    doom.set_render_size(LARGE)
    doom.close()
    doom.close()
    assert engines() == []
    with pytest.raises(GameError, match="closed"):
        doom.reset(1)


def test_a_dead_engine_is_a_game_error(doom: Doom):
    doom.reset(1)
    engine = engines()[0]
    os.kill(engine.pid, signal.SIGKILL)
    until("the engine has ended", lambda: engines() == [])
    # A call that begins before may never return, and would end this process.
    watch = doom._engine and doom._engine._watch
    assert watch is not None
    until("its end is noticed", lambda: watch.has_exited)
    with pytest.raises(GameError, match="the Doom engine of doom:basic failed"):
        play_episode(doom)
    with pytest.raises(GameError):
        doom.step(WAIT)


def test_a_step_before_a_reset_is_rejected(doom: Doom):
    with pytest.raises(GameError, match="reset"):
        doom.step(WAIT)


def test_several_games_run_in_one_process(doom: Doom):
    other = Doom("defend_the_center", frame_skip=4)
    try:
        doom.reset(1)
        other.reset(1)
        assert (doom.step(1).observation != other.step(1).observation).any()
        assert len(engines()) == 2
    finally:
        other.close()
    assert doom.step(1).reward == -4


def test_no_file_is_left_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    game = Doom("basic", frame_skip=4)
    game.reset(1)
    game.close()
    assert list(tmp_path.iterdir()) == []


def test_a_scenario_is_described_without_starting_an_engine():
    description = describe_doom("basic")
    assert engines() == []
    assert description.action_names == ("wait", "move left", "move right", "attack")
    assert description.reward_scale == 0.01
    assert description.tics_per_s == 35


def test_the_policy_observes_the_last_frame_that_viewers_get():
    emitted: list[Frame] = []
    observed: list[Frame] = []

    def observation_fn(frame: Frame, spec: ObservationSpec) -> Observation:
        observed.append(frame)
        return observe(frame, spec)

    game = Doom("basic", frame_skip=4, observation_fn=observation_fn)
    try:
        game.reset(1)
        for _ in range(3):
            transition = game.step(WAIT, drawing_into(emitted))
            assert observed[-1] is emitted[-1]
            assert np.array_equal(transition.observation, observe(emitted[-1], VIEW))
        assert len(observed) == 4, "one observation per step and one at the reset"
        transition = game.step(WAIT)
        assert observed[-1] is game.frame()
    finally:
        game.close()
