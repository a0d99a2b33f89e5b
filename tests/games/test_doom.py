"""Doom, with real engines."""

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
from metabonk.settings.schema import Learning
from tests.support.waiting import until

SMALL, LARGE = (256, 144), (1280, 720)
WAIT, MOVE_LEFT = 0, 1


@pytest.fixture
def doom() -> Iterator[Doom]:
    game = Doom("basic", seed=1, frame_skip=4)
    yield game
    game.close()


def engines() -> list[psutil.Process]:
    """Engines of this process."""
    return [p for p in psutil.Process().children(recursive=True) if p.name() == "vizdoom"]


def wait_out(game: Doom, on_frame: FrameSink | None = None, action: int = WAIT) -> list[Transition]:
    """Waits until the episode is over."""
    moves = [game.step(action, on_frame)]
    while not (moves[-1].terminated or moves[-1].truncated):
        moves.append(game.step(action, on_frame))
    return moves


@pytest.mark.parametrize("game_id", available_games())
def test_every_game_on_the_list_plays_two_episodes(game_id: str):
    game = make_game(game_id, Learning(), seed=0)
    try:
        for _ in range(2):
            observation = game.reset()
            assert observation.shape == game.observation_shape == (72, 128, 3)
            assert observation.dtype == np.uint8
            assert observation.std() > 5
            assert isinstance(game.step(len(game.action_names) - 1).reward, float)
    finally:
        game.close()


def test_a_time_limit_truncates_and_does_not_terminate(doom: Doom):
    doom.reset()
    moves = wait_out(doom)
    assert len(moves) == 300 / 4
    assert moves[-1].truncated
    assert not any(move.terminated for move in moves)
    assert sum(move.reward for move in moves) == -300


def test_a_skip_that_does_not_divide_the_limit_ends_on_it():
    game = Doom("basic", seed=1, frame_skip=7)
    try:
        game.reset()
        moves = wait_out(game)
        assert [move.reward for move in moves] == [-7.0] * 42 + [-6.0]
    finally:
        game.close()


def test_a_death_terminates_and_does_not_truncate():
    game = Doom("deadly_corridor", seed=3, frame_skip=4)
    try:
        before = game.reset()
        moves = wait_out(game)
        assert moves[-1].terminated
        assert not moves[-1].truncated
        assert moves[-1].reward <= -99
        # The game draws nothing of what is over; the last picture stands for it.
        assert moves[-1].observation.shape == before.shape
        assert (moves[-1].observation == moves[-2].observation).all()
    finally:
        game.close()


def test_the_same_seed_plays_the_same_episodes_and_another_does_not():
    def first_pictures(seed: int) -> NDArray[np.uint8]:
        game = Doom("basic", seed=seed, frame_skip=4)
        try:
            return np.stack([game.reset() for _ in range(3)])
        finally:
            game.close()

    first = first_pictures(1)
    assert (first == first_pictures(1)).all()
    assert (first != first_pictures(2)).any()
    assert (first[0] != first[1]).any()


def test_each_drawn_tic_is_handed_over_in_order(doom: Doom):
    doom.reset()
    frames: list[Frame] = []
    moves = wait_out(doom, frames.append, MOVE_LEFT)
    assert len(frames) == 300
    assert {frame.pixels.shape for frame in frames} == {(144, 256, 3)}
    times = [frame.captured_at for frame in frames]
    assert times == sorted(times)
    assert len(moves) == 75
    # They are pictures of their own, not one buffer that is drawn over.
    assert len({frame.pixels.tobytes() for frame in frames}) > 10
    for step, move in enumerate(moves):
        assert (move.observation == observe(frames[4 * step + 3], ObservationSpec(128, 72))).all()


def test_the_last_observation_before_a_truncation_is_the_true_one():
    game = Doom("defend_the_center", seed=1, frame_skip=150)
    try:
        game._scenario = dataclasses.replace(game._scenario, timeout_tics=200)
        game.reset()
        frames: list[Frame] = []
        game.step(1, frames.append)
        last = game.step(1, frames.append)
        assert last.truncated
        assert len(frames) == 200
        assert (last.observation == observe(frames[-1], ObservationSpec(128, 72))).all()
        assert (frames[-1].pixels != frames[-2].pixels).any()
    finally:
        game.close()


def test_drawing_every_tic_changes_no_reward():
    def rewards(on_frame: FrameSink | None) -> list[float]:
        game = Doom("defend_the_center", seed=5, frame_skip=4)
        try:
            game.reset()
            return [game.step(step % 4, on_frame).reward for step in range(60)]
        finally:
            game.close()

    assert rewards(None) == rewards(lambda frame: None)


def test_the_policy_sees_nearly_the_same_small_and_large():
    def pictures(size: tuple[int, int] | None) -> NDArray[np.float32]:
        game = Doom("health_gathering", seed=5, frame_skip=4)
        try:
            game.set_render_size(size)
            seen = [game.reset()]
            seen += [game.step(step % 4).observation for step in range(20)]
            return np.stack(seen).astype(np.float32)
        finally:
            game.close()

    small, large = pictures(None), pictures(LARGE)
    apart = np.abs(small - large).mean()
    # Textures are sampled at other points; a field of view off by one pixel would show as twice
    # as much.
    assert apart < 5
    for axis in (2, 3):
        assert np.abs(small - np.roll(large, 1, axis)).mean() > 1.3 * apart


def test_a_new_size_is_drawn_from_the_next_episode_on(doom: Doom):
    doom.reset()
    doom.set_render_size(LARGE)
    doom.step(WAIT)
    assert doom.source_size == SMALL
    assert doom.frame().pixels.shape == (144, 256, 3)
    observation = doom.reset()
    assert doom.source_size == LARGE
    assert doom.frame().pixels.shape == (720, 1280, 3)
    assert observation.shape == (72, 128, 3)
    doom.set_render_size(None)
    doom.reset()
    assert doom.source_size == SMALL
    assert len(engines()) == 1


def test_a_wish_that_is_taken_back_changes_nothing_and_leaves_no_engine(doom: Doom):
    doom.reset()
    for size in (LARGE, None, (1920, 1080), LARGE, None):
        doom.set_render_size(size)
    doom.reset()
    assert doom.source_size == SMALL
    doom.close()
    assert engines() == []


def test_an_engine_makes_room_for_another_after_many_episodes_and_play_goes_on(
    doom: Doom, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("metabonk.games.doom.MAX_EPISODES", 3)
    (first,) = engines()
    for _ in range(3):
        doom.reset()
    assert first in engines()

    def is_replaced() -> bool:
        doom.reset()
        doom.step(WAIT)
        return first not in engines()

    until("another engine plays", is_replaced, 20)
    assert doom.source_size == SMALL
    doom.set_render_size(LARGE)
    doom.reset()
    assert doom.source_size == LARGE
    doom.close()
    assert engines() == []


def test_the_nearest_size_of_the_same_shape_is_drawn(doom: Doom):
    doom.set_render_size((854, 480))
    doom.reset()
    assert doom.source_size == (640, 360)


def test_closing_while_an_engine_starts_leaves_none(doom: Doom):
    doom.set_render_size(LARGE)
    doom.close()
    doom.close()
    assert engines() == []
    with pytest.raises(GameError, match="closed"):
        doom.reset()


def test_an_engine_that_dies_is_an_error_in_a_sentence(doom: Doom):
    doom.reset()
    engine = engines()[0]
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(GameError, match="the Doom engine of doom:basic failed"):
        wait_out(doom)
    with pytest.raises(GameError):
        doom.step(WAIT)


def test_a_step_after_the_end_is_refused(doom: Doom):
    with pytest.raises(GameError, match="reset"):
        doom.step(WAIT)


def test_several_games_run_in_one_process(doom: Doom):
    other = Doom("defend_the_center", seed=2, frame_skip=4)
    try:
        doom.reset()
        other.reset()
        assert (doom.step(1).observation != other.step(1).observation).any()
        assert len(engines()) == 2
    finally:
        other.close()
    assert doom.step(1).reward == -4


def test_no_file_is_left_where_it_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    game = Doom("basic", seed=1, frame_skip=4)
    game.reset()
    game.close()
    assert list(tmp_path.iterdir()) == []


def test_a_scenario_is_described_without_an_engine():
    description = describe_doom("basic")
    assert engines() == []
    assert description.action_names == ("wait", "move left", "move right", "attack")
    assert description.reward_scale == 0.01


def test_the_policy_observes_the_frame_that_viewers_get_last_so_that_one_upload_serves_both():
    shown: list[Frame] = []
    looked_at: list[Frame] = []

    def observation_fn(frame: Frame, spec: ObservationSpec) -> Observation:
        looked_at.append(frame)
        return observe(frame, spec)

    game = Doom("basic", seed=1, frame_skip=4, observation_fn=observation_fn)
    try:
        game.reset()
        for _ in range(3):
            moved = game.step(WAIT, shown.append)
            assert looked_at[-1] is shown[-1]
            assert np.array_equal(moved.observation, observe(shown[-1], ObservationSpec(128, 72)))
        assert len(looked_at) == 4, "one look a decision, and one at the beginning"
        moved = game.step(WAIT)
        assert looked_at[-1] is game.frame()
    finally:
        game.close()
