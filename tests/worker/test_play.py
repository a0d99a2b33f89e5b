"""Live play and play in standby, and the change between them."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from metabonk.errors import GameError, WireError
from metabonk.messages import CounterOffset, Episode, Thought
from metabonk.policy import DeviceObserver, PolicySpec, RolloutBuilder
from metabonk.policy.env_runner import EnvRunner
from metabonk.worker import sampler as lanes_module
from metabonk.worker.play import FramePacer, PlayLoop
from metabonk.worker.saliency import DecisionFrame
from metabonk.worker.sampler import EnvPool
from tests.support.waiting import until
from tests.support.worker_stand_ins import DESCRIPTION, PICTURE, TICS, Deciding, Stepping

FPS = 200
SIZE = (64, 36)


class Streaming:
    """What the director and the encoder say, as the test wants it."""

    def __init__(self, *, live: bool) -> None:
        self.change(live=live)
        self.offered = 0
        self.takes_device_frames = False
        self.uploaded: list[Tensor | None] = []
        self.thoughts: list[tuple[int, Thought]] = []
        self.told_large: list[bool] = []

    def offer(
        self,
        pixels: NDArray[np.uint8],
        thought: Thought | None = None,
        *,
        waited_s: float = 0.0,
        uploaded: Tensor | None = None,
    ) -> float:
        assert 0 <= waited_s < 1
        self.offered += 1
        self.uploaded.append(uploaded)
        if thought is not None:
            self.thoughts.append((self.offered, thought))
        return float(self.offered)

    def episode_begun(self, *, large: bool) -> None:
        self.told_large.append(large)

    def change(self, *, live: bool) -> None:
        self.fps = FPS if live else None
        self.drawn_size = SIZE if live else None


class Sending:
    """An uplink into a list."""

    def __init__(self) -> None:
        self.rollouts: list[bytes] = []
        self.room = True
        self.weights: bytes | None = None

    def submit(self, rollout: bytes) -> None:
        self.rollouts.append(rollout)

    def wait_for_room(self, timeout: float) -> bool:
        if not self.room:
            time.sleep(0.005)
        return self.room

    def newer_weights(self) -> bytes | None:
        weights, self.weights = self.weights, None
        return weights


class Playing:
    """A player of some games, in a thread of its own as if it were the main one."""

    def __init__(
        self, games: list[Stepping], *, live: bool, waits: bool = True, beside_live: bool = True
    ) -> None:
        self.games = games
        self.streamer = Streaming(live=live)
        self.uplink = Sending()
        self.actor = Deciding()
        self.episodes: list[Episode] = []
        self.considered: list[DecisionFrame] = []
        self.failure: BaseException | None = None
        self._stopped = threading.Event()
        lanes = EnvPool(
            EnvRunner(games[0], 0, self._builder(), lambda: self.player.begun()),
            self._open,
            len(games),
        )
        self.player = PlayLoop(
            lanes,
            self.actor,  # type: ignore[arg-type]
            self.streamer,  # type: ignore[arg-type]
            self.uplink,  # type: ignore[arg-type]
            self.episodes.append,
            self.considered.append,
            worker_index=3,
            waits=waits,
            beside_live=beside_live,
            overlaps=True,
            sight=DeviceObserver(torch.device("cpu")),
        )
        self._lanes = lanes
        self._thread = threading.Thread(target=self._run, name="main-play")

    def _builder(self) -> RolloutBuilder:
        return RolloutBuilder(PolicySpec.of(DESCRIPTION), 4)

    def _open(self, number: int) -> EnvRunner:
        lane = EnvRunner(self.games[number], number, self._builder())
        lane.begin()
        return lane

    def _run(self) -> None:
        try:
            self.player.run(self._stopped.is_set)
        except GameError as error:
            self.failure = error

    @contextmanager
    def run(self) -> Iterator["Playing"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            self._thread.join(5)
            assert not self._thread.is_alive()
            self._lanes.close()

    def wait_for_the_end(self) -> None:
        self._thread.join(5)


@pytest.fixture(autouse=True)
def _plenty_of_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "RESERVE", 0)


def more_steps(game: Stepping, than: int = 20) -> None:
    before = game.steps
    until(f"{than} more steps", lambda: game.steps >= before + than)


def test_live_every_tic_of_the_shown_game_is_offered_at_the_streams_rate():
    with Playing([Stepping()], live=True).run() as playing:
        until("frames", lambda: playing.streamer.offered > 0)
        before, began = playing.streamer.offered, time.monotonic()
        until("forty frames", lambda: playing.streamer.offered >= before + 40)
        assert time.monotonic() - began >= 0.9 * 40 / FPS
        assert all(playing.games[0].drawn)
        assert playing.player.newest_frame is not None
    assert playing.streamer.offered == TICS * playing.games[0].steps


def test_a_picture_is_uploaded_once_where_the_encoder_takes_it_there():
    with Playing([Stepping()], live=True).run() as playing:
        until("frames", lambda: playing.streamer.offered > 0)
        assert not any(uploaded is not None for uploaded in playing.streamer.uploaded)
        playing.streamer.takes_device_frames = True
        until("uploads", lambda: playing.streamer.uploaded[-1] is not None)
        more_steps(playing.games[0])
        playing.streamer.takes_device_frames = False
        until("no upload", lambda: playing.streamer.uploaded[-1] is None)
        newest = next(each for each in reversed(playing.streamer.uploaded) if each is not None)
    assert np.array_equal(newest.numpy(), PICTURE)


def test_live_the_other_games_are_played_beside_it_and_never_drawn():
    with Playing([Stepping() for _ in range(4)], live=True).run() as playing:
        for game in playing.games:
            more_steps(game)
        shown, *others = playing.games
        assert shown.threads == {"main-play"}
        assert "main-play" not in set().union(*(game.threads for game in others))
        assert not any(any(game.drawn) for game in others)
        assert playing.player.steps.total >= sum(game.steps for game in playing.games) - 8


def test_a_game_that_hangs_makes_the_shown_one_no_later():
    gate = threading.Event()
    hanging = Stepping(on_step=lambda: gate.wait(5))
    with Playing([Stepping(), hanging, Stepping()], live=True).run() as playing:
        until("it hangs", lambda: hanging.threads)
        more_steps(playing.games[0])
        assert hanging.steps == 0
        gate.set()
        more_steps(hanging)


def test_in_standby_all_are_played_together_without_drawing():
    with Playing([Stepping() for _ in range(4)], live=False).run() as playing:
        for game in playing.games:
            more_steps(game)
        assert (0, 2) in playing.actor.batches and (1, 3) in playing.actor.batches
        assert not any(any(game.drawn) for game in playing.games)
        assert playing.streamer.offered == 0
        assert playing.player.newest_frame is not None, "for the snapshot"


def test_live_play_has_the_priority_of_the_process_and_standby_less():
    seen: dict[str, int] = {}

    def note(where: str) -> None:
        seen[where] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    games = [Stepping(on_step=lambda: note("shown")), Stepping(on_step=lambda: note("other"))]
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with Playing(games, live=True).run() as playing:
        for game in games:
            more_steps(game)
        assert seen["shown"] == own
        assert seen["other"] > own
        playing.streamer.change(live=False)
        until("standby", lambda: seen["shown"] > own)


def test_no_change_ends_an_episode():
    with Playing([Stepping(length=10**6) for _ in range(3)], live=False).run() as playing:
        for live in (True, False, True, False):
            more_steps(playing.games[0])
            playing.streamer.change(live=live)
        more_steps(playing.games[0])
        for game in playing.games:
            more_steps(game)
    assert [game.resets for game in playing.games] == [1, 1, 1]


def test_the_shown_game_is_drawn_large_from_the_next_episode_on_and_it_is_told():
    with Playing([Stepping(length=3), Stepping()], live=False).run() as playing:
        more_steps(playing.games[0])
        playing.streamer.drawn_size = SIZE
        until("it is told", lambda: playing.streamer.told_large[-1])
        assert playing.games[0].size == SIZE
        assert playing.games[1].size is None
        playing.streamer.drawn_size = None
        until("it is told again", lambda: not playing.streamer.told_large[-1])


def test_a_stream_of_another_quality_is_paced_and_drawn_as_it_is_and_no_episode_ends():
    with Playing([Stepping(length=10**6)], live=True).run() as playing:
        more_steps(playing.games[0])
        playing.streamer.fps, playing.streamer.drawn_size = FPS // 4, (32, 18)
        until("the game is told", lambda: playing.games[0].size == (32, 18))
        before, began = playing.streamer.offered, time.monotonic()
        until("twenty frames", lambda: playing.streamer.offered >= before + 20)
        assert time.monotonic() - began >= 0.9 * 18 / (FPS // 4)
    assert playing.games[0].resets == 1


@pytest.mark.parametrize("live", [True, False])
def test_episodes_and_rollouts_of_all_games_count(live: bool):
    games = [Stepping(length=3), Stepping(length=5)]
    with Playing(games, live=live).run() as playing:
        for game in games:
            more_steps(game)
    episodes = playing.episodes
    assert [each.episode for each in episodes] == list(range(1, len(episodes) + 1))
    assert {(each.length, each.total_reward) for each in episodes} == {(3, 3.0), (5, 5.0)}
    assert {each.worker_index for each in episodes} == {3}
    assert len(episodes) == sum(game.resets - 1 for game in games)
    assert playing.player.steps.total == sum(game.steps for game in games)
    assert len(playing.uplink.rollouts) == sum(game.steps // 4 for game in games)


@pytest.mark.parametrize("live", [True, False])
def test_newer_weights_are_played_with(live: bool):
    with Playing([Stepping(), Stepping()], live=live).run() as playing:
        more_steps(playing.games[0])
        playing.uplink.weights = b"better"
        until("they are loaded", lambda: playing.actor.loaded == [b"better"])
        more_steps(playing.games[0])
    assert playing.actor.loaded == [b"better"], "once"
    assert playing.episodes[-1].policy_version == 1


def test_weights_that_cannot_be_used_are_passed_over_and_play_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(self: Deciding, weights: bytes) -> None:
        self.loaded.append(weights)
        raise WireError("this is not safetensors")

    monkeypatch.setattr(Deciding, "load", refuse)
    with Playing([Stepping()], live=True).run() as playing:
        playing.uplink.weights = b"spoilt"
        until("they are looked at", lambda: playing.actor.loaded)
        more_steps(playing.games[0])
    assert "passed over: this is not safetensors" in caplog.text


def test_unwatched_games_stand_still_while_the_learner_is_behind_and_the_shown_one_does_not():
    with Playing([Stepping(), Stepping()], live=True).run() as playing:
        shown, other = playing.games
        more_steps(other)
        playing.uplink.room = False
        more_steps(shown, 10)
        stood = other.steps
        more_steps(shown, 10)
        assert other.steps == stood
        playing.uplink.room = True
        more_steps(other)


def test_a_worker_that_stands_still_goes_live_at_once():
    with Playing([Stepping(), Stepping()], live=False).run() as playing:
        more_steps(playing.games[0])
        playing.uplink.room = False
        playing.streamer.change(live=True)
        until("frames", lambda: playing.streamer.offered > 10)


def test_games_play_on_while_the_learner_is_behind_where_that_is_wanted():
    with Playing([Stepping(), Stepping()], live=False, waits=False).run() as playing:
        playing.uplink.room = False
        for game in playing.games:
            more_steps(game)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("broken", [0, 1])
def test_a_game_that_breaks_ends_play_with_its_sentence(live: bool, broken: int):
    games = [Stepping(), Stepping()]

    def break_down() -> None:
        if games[broken].steps > 10:
            raise GameError("the engine is gone")

    games[broken].on_step = break_down
    with Playing(games, live=live).run() as playing:
        playing.wait_for_the_end()
        assert str(playing.failure) == "the engine is gone"


def test_where_cores_are_few_the_other_games_stand_still_while_one_is_live():
    games = [Stepping(), Stepping()]
    with Playing(games, live=False, beside_live=False).run() as playing:
        more_steps(games[1])
        playing.streamer.fps = FPS
        more_steps(games[0])
        stood_at = games[1].steps
        more_steps(games[0])
        more_steps(games[0])
        assert games[1].steps == stood_at
        playing.streamer.fps = None
        more_steps(games[1])


def test_what_the_policy_thought_comes_with_the_first_frame_after_its_decision():
    with Playing([Stepping(length=3)], live=True).run() as playing:
        playing.player.go_on_from(CounterOffset(step=100, episode=7))
        more_steps(playing.games[0], 8)
    frames, thoughts = zip(*playing.streamer.thoughts, strict=True)
    assert list(frames) == [1 + TICS * number for number in range(len(frames))]
    assert [thought.step for thought in thoughts[:6]] == [0, 1, 2, 0, 1, 2]
    assert [thought.episode_return for thought in thoughts[:4]] == [0.0, 1.0, 2.0, 0.0]
    assert thoughts[-1].episode > 8
    assert thoughts[0].probabilities == [0.5, 0.5]
    assert thoughts[0].action == 0
    assert [each.captured_at for each in playing.considered] == list(map(float, frames))


def test_a_worker_that_is_started_again_counts_on():
    with Playing([Stepping(length=3)], live=False).run() as playing:
        playing.player.go_on_from(CounterOffset(step=100, episode=7))
        more_steps(playing.games[0], 8)
    assert playing.player.counted().step == 100 + playing.games[0].steps
    assert playing.episodes[-1].episode == 7 + len(playing.episodes)
    assert playing.episodes[-1].step > 100


def test_frames_keep_their_distance_however_long_they_take_to_draw():
    pacer = FramePacer(fps=10)
    assert pacer.wait(100.0) == pytest.approx(0.1)
    assert pacer.wait(100.12) == pytest.approx(0.08)
    assert pacer.wait(100.21) == pytest.approx(0.09)


def test_a_small_delay_is_caught_up():
    pacer = FramePacer(fps=10)
    pacer.wait(100.0)
    assert pacer.wait(100.19) == pytest.approx(0.01)
    assert pacer.wait(100.21) == pytest.approx(0.09)


def test_after_a_long_delay_frames_do_not_come_in_a_burst():
    pacer = FramePacer(fps=10)
    pacer.wait(100.0)
    assert pacer.wait(105.0) == pytest.approx(0.1)
    assert pacer.wait(105.1) == pytest.approx(0.1)
