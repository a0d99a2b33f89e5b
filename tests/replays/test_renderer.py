"""Episodes repeated from their logs."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import gymnasium
import numpy as np
import pytest

from metabonk.errors import EpisodeDiffers, GameError, ReplayError
from metabonk.frame import Frame
from metabonk.games import Game, make_game
from metabonk.policy.episode_log import EpisodeLog, checksum_of
from metabonk.replays.renderer import draw, opened_game, repeat
from metabonk.replays.video import ReplayVideo
from metabonk.settings.learning import Learning
from tests.support.recorded_episodes import play, random_decisions, record
from tests.support.unrepeatable import CARRYING_GAME
from tests.support.unrepeatable import GAME as UNREPEATABLE

LEARNING = Learning()
GAMES = {
    "doom:basic": None,
    "gym:CartPole-v1": None,
    "gym:Pendulum-v1": 20,
    "gym:MiniGrid-Empty-5x5-v0": 30,
    "gym:ALE/Pong-v5": 150,
    "gym:tests.support.odd_environment:Odd-v0": None,
}
"""Games, and the tics at which longer ones are cut off."""


@pytest.fixture(scope="module")
def log() -> EpisodeLog:
    return record("gym:CartPole-v1")


@pytest.fixture(scope="module")
def cart_pole(log: EpisodeLog) -> Iterator[Game]:
    with opened_game(log.setup, LEARNING) as game:
        yield game


def undrawn(tic: int, draw_frame: Any) -> None:
    """Leave a tic undrawn."""


@pytest.mark.parametrize(("game_id", "tics"), GAMES.items())
def test_an_episode_comes_out_as_it_was_played_and_looks_the_same(game_id: str, tics: int | None):
    learning = Learning(env_args={"max_episode_steps": tics} if tics else {})
    seen: list[Frame] = []
    with contextlib.closing(make_game(game_id, learning)) as game:
        decisions = random_decisions(game.description, 5)
        # Not the first episode of its game, as that of a worker.
        play(game, 1, decisions, learning)
        game.set_render_size((256, 144))
        log = play(game, 2, decisions, learning, on_frame=seen.append)
    drawn: dict[int, Frame] = {}
    with opened_game(log.setup, LEARNING, (256, 144)) as game:
        repeat(log, game, lambda tic, draw_frame: drawn.__setitem__(tic, draw_frame()))
    assert list(drawn) == list(range(len(seen)))
    for frame, played in zip(drawn.values(), seen, strict=True):
        assert np.array_equal(frame.pixels, played.pixels)


def test_an_episode_is_drawn_at_the_size_and_pace_of_the_video(log: EpisodeLog, tmp_path: Path):
    file = tmp_path / "replay.mp4"
    with opened_game(log.setup, LEARNING, (320, 180)) as game:
        pace = game.description.tics_per_s
        with ReplayVideo(file, size=(320, 180), tics_per_s=pace) as video:
            end = draw(log, game, video)
            assert draw(log, game, video, first_tic=end) == 2 * end
    assert end == len(log) + 1
    with av.open(file) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.duration == pytest.approx(2e6 * end / pace, rel=1e-3)
    assert len(frames) == 2 * end
    assert frames[0].shape == (180, 320, 3)
    assert np.abs(frames[0].astype(int) - frames[end]).mean() < 2, "the same beginning"


def test_a_tampered_action_is_found_out(log: EpisodeLog, cart_pole: Game):
    one = np.full_like(log.actions, 1)
    with pytest.raises(
        EpisodeDiffers,
        match=r"CartPole-v1 did not come out as it was played, so there is no video of it: in step",
    ):
        repeat(dataclasses.replace(log, actions=one), cart_pole, undrawn)


def test_a_tampered_reward_is_found_out_at_its_step(log: EpisodeLog, cart_pole: Game):
    rewards = log.rewards.copy()
    rewards[3] = 2.0
    with pytest.raises(
        EpisodeDiffers,
        match=rf"in step 4 of {len(log)} the reward is 1 and was 2; the versions are the same, so "
        "the game depends on something besides its seed, or the log is damaged$",
    ) as caught:
        repeat(dataclasses.replace(log, rewards=rewards), cart_pole, undrawn)
    assert caught.value.step == 3
    assert caught.value.exit_code == 3


def test_a_cut_log_is_found_out_unless_the_episode_was_cut(log: EpisodeLog, cart_pole: Game):
    steps = len(log) - 2
    cut = dataclasses.replace(
        log,
        **{name: getattr(log, name)[:steps] for name in ("actions", "tics", "rewards", "values")},
        checksum=checksum_of(log.rewards[:steps]),
        total_reward=float(steps),
    )
    with pytest.raises(EpisodeDiffers, match="the episode goes on and did not"):
        repeat(cut, cart_pole, undrawn)
    repeat(cut, cart_pole, undrawn, has_end=False)


def test_a_log_that_goes_on_is_found_out(log: EpisodeLog, cart_pole: Game):
    twice = {
        name: np.concatenate([getattr(log, name)] * 2)
        for name in ("actions", "tics", "rewards", "values")
    }
    with pytest.raises(EpisodeDiffers, match="the episode ends and did not") as caught:
        repeat(dataclasses.replace(log, **twice), cart_pole, undrawn)
    assert caught.value.step == len(log) - 1


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"checksum": bytes(8)}, "a reward differs by less than a percent"),
        ({"total_reward": 1000.0}, r"the return is \d+.0 and was 1000.0"),
    ],
)
def test_what_rounding_hides_is_found_out_at_the_end(
    log: EpisodeLog, cart_pole: Game, changed: dict[str, Any], difference: str
):
    with pytest.raises(EpisodeDiffers, match=difference):
        repeat(dataclasses.replace(log, **changed), cart_pole, undrawn)


def test_a_difference_names_the_versions_that_differ(log: EpisodeLog, cart_pole: Game):
    setup = dataclasses.replace(log.setup, versions=log.setup.versions | {"gymnasium": "0.1"})
    repeat(dataclasses.replace(log, setup=setup), cart_pole, undrawn)
    other = dataclasses.replace(log, setup=setup, rewards=log.rewards + 1)
    here = gymnasium.__version__
    with pytest.raises(EpisodeDiffers, match=rf"\(played with gymnasium 0\.1, here {here}\)$"):
        repeat(other, cart_pole, undrawn)


def test_a_game_with_a_hidden_state_is_found_out():
    log = record(UNREPEATABLE)
    with (
        opened_game(log.setup, LEARNING) as game,
        pytest.raises(EpisodeDiffers, match=r"in step 3 of 5 the reward is \d+ and was \d+;"),
    ):
        repeat(log, game, undrawn)


def test_what_a_game_carries_over_is_restored():
    with contextlib.closing(make_game(CARRYING_GAME, LEARNING)) as game:
        decisions = random_decisions(game.description, 1)
        logs = [play(game, 5, decisions) for _ in range(3)]
    assert len({log.total_reward for log in logs}) == 3, "each depends on the one before"
    with opened_game(logs[0].setup, LEARNING) as game:
        for log in reversed(logs):
            repeat(log, game, undrawn)


def test_a_game_with_other_actions_is_refused(log: EpisodeLog):
    setup = dataclasses.replace(log.setup, action_sizes=(3,), versions={"gymnasium": "0.1"})
    with (
        pytest.raises(ReplayError, match="CartPole-v1 has other actions here than when it w"),
        opened_game(setup, LEARNING),
    ):
        pass


def test_a_game_that_cannot_be_made_here_is_an_error(log: EpisodeLog):
    setup = dataclasses.replace(log.setup, game="gym:NoSuchGame-v9")
    with pytest.raises(GameError, match="NoSuchGame"), opened_game(setup, LEARNING):
        pass


def test_the_game_is_made_with_the_arguments_of_the_log():
    learning = Learning(env_args={"map_name": "8x8", "is_slippery": True})
    log = record("gym:FrozenLake-v1", learning=learning)
    with opened_game(log.setup, LEARNING) as game:
        repeat(log, game, undrawn)
