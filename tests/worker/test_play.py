"""Live play, standby play, and the change between them."""

import itertools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from metabonk.errors import GameError
from metabonk.frame import Frame
from metabonk.games import doom
from metabonk.games.remote import GameProcess
from metabonk.messages.base import Loop
from metabonk.messages.workers import Counters, EpisodeReport
from metabonk.policy import PolicySpec, RolloutBuilder
from metabonk.policy.env_runner import EnvRunner
from metabonk.policy.episode_recorder import EpisodeRecorder, Recording
from metabonk.system import shared_memory
from metabonk.worker import play
from metabonk.worker.env_pool import EnvPool
from metabonk.worker.play import PlayLoop
from metabonk.worker.progress import Progress
from metabonk.worker.saliency import DecisionFrame
from metabonk.worker.scheduling import Schedule
from tests.support.episode_logs import DISCRETE
from tests.support.waiting import until
from tests.support.worker_stand_ins import TICS, TICS_PER_S, LeftActor, SteppingGame

FPS = round(TICS_PER_S)
DEFAULT = Schedule()
NONE = Counters()
SIZE = (64, 36)


class RecordingStream:
    """A stream that wants what the test wants, and keeps what it is given.

    Attributes:
        frames: submitted.
        repeats: of each of them.
        snapshot: set last.
        episodes: added.
        recordings: of them.
        large: whether each episode began at the viewers' size.
        deciding_s: that came with frames.
    """

    def __init__(self, *, live: bool) -> None:
        self.set_live(live)
        self.deciding_s = 0.0
        self.frames: list[Frame] = []
        self.repeats: list[int] = []
        self.snapshot: Frame | None = None
        self.episodes: list[EpisodeReport] = []
        self.recordings: list[Recording | None] = []
        self.large: list[bool] = []

    def submit_frame(
        self,
        frame: Frame,
        *,
        waited_s: float = 0.0,
        deciding_s: float = 0.0,
        repeat_at: Sequence[float] = (),
    ) -> None:
        assert 0 <= waited_s < 1
        self.deciding_s += deciding_s
        self.frames.append(frame)
        self.repeats.append(len(repeat_at))

    def set_snapshot(self, frame: Frame) -> None:
        self.snapshot = frame

    def add_episode(self, episode: EpisodeReport, recording: Recording | None = None) -> None:
        self.episodes.append(episode)
        self.recordings.append(recording)

    def on_episode_start(self, *, large: bool) -> None:
        self.large.append(large)

    def set_live(self, live: bool) -> None:
        self.fps = FPS if live else None
        self.render_size = SIZE if live else None


class RecordingLearner:
    """A learner's client that keeps rollouts, and is behind while it has no room."""

    def __init__(self) -> None:
        self.rollouts: list[bytes] = []
        self.room = True

    def submit(self, rollout: bytes) -> None:
        self.rollouts.append(rollout)

    def wait_until_not_full(self, timeout_s: float) -> bool:
        if not self.room:
            time.sleep(0.005)
        return self.room


class RecordingSaliency:
    """A saliency thread that keeps the decisions it is given."""

    def __init__(self) -> None:
        self.decided: list[DecisionFrame] = []

    def submit(self, decided: DecisionFrame) -> None:
        self.decided.append(decided)


class RecordingHighlights:
    """A thread of highlights that keeps what it is offered."""

    def __init__(self) -> None:
        self.offers: list[tuple[EpisodeReport, float, float]] = []

    def offer(self, episode: EpisodeReport, began_at: float, ended_at: float) -> None:
        self.offers.append((episode, began_at, ended_at))


class Playing:
    """A play loop over some games, on a thread that stands for the main one."""

    def __init__(
        self,
        games: Sequence[SteppingGame],
        *,
        live: bool,
        schedule: Schedule = DEFAULT,
        counters: Counters = NONE,
    ) -> None:
        self.games = games
        self.stream = RecordingStream(live=live)
        self.learner = RecordingLearner()
        self.actor = LeftActor()
        self.saliency = RecordingSaliency()
        self.highlights = RecordingHighlights()
        self.progress = Progress(3, counters)
        self.failure: BaseException | None = None
        self._stopped = threading.Event()
        self._first_thread = ThreadPoolExecutor(1, "shown")
        self._pool = EnvPool(
            EnvRunner(
                games[0],
                0,
                self._builder(),
                seeds=itertools.count(),
                on_reset=lambda: self._play.on_episode_start(),
                recorder=EpisodeRecorder(DISCRETE),
            ),
            self._first_thread,
            self._open,
            len(games),
        )
        self._play = PlayLoop(
            self._pool,
            self.actor,  # type: ignore[arg-type]
            self.stream,  # type: ignore[arg-type]
            self.progress,
            schedule,
            learner=self.learner,  # type: ignore[arg-type]
            saliency=self.saliency,  # type: ignore[arg-type]
            highlights=self.highlights,  # type: ignore[arg-type]
        )
        self._thread = threading.Thread(target=self._run, name="main-play")

    def _builder(self) -> RolloutBuilder:
        return RolloutBuilder(PolicySpec.of(self.games[0].description), 4)

    def _open(self, number: int, process: GameProcess | None) -> EnvRunner:
        runner = EnvRunner(
            self.games[number],
            number,
            self._builder(),
            seeds=itertools.count(),
            recorder=EpisodeRecorder(DISCRETE),
        )
        runner.reset()
        return runner

    def _run(self) -> None:
        try:
            self._play.run(self._stopped.is_set)
        except GameError as error:
            self.failure = error

    @contextmanager
    def run(self) -> Iterator["Playing"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            self._thread.join(20)
            assert not self._thread.is_alive()
            self._pool.close()
            self._first_thread.shutdown()

    def turns(self) -> int:
        return self._play.turns.of_running()[Loop.LIVE]

    def wait_for_the_end(self) -> None:
        self._thread.join(20)


@pytest.fixture(autouse=True)
def _plenty_of_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "LIVE_GAME_RESERVE", 0)


def more_steps(game: SteppingGame, than: int = 20) -> None:
    before = game.steps
    until(f"{than} more steps", lambda: game.steps >= before + than)


def pauses(game: SteppingGame, shown: SteppingGame) -> None:
    """Wait until a game stands still while the shown one is played."""

    def stands_still() -> bool:
        before = game.steps
        more_steps(shown, 10)
        return game.steps == before

    until("it pauses", stands_still)


def test_live_every_tic_of_the_shown_game_is_submitted_at_the_streams_rate():
    with Playing([SteppingGame()], live=True).run() as playing:
        frames = playing.stream.frames
        until("frames", lambda: frames)
        began, before = time.monotonic(), len(frames)
        until("forty frames", lambda: len(frames) >= before + 40)
        assert time.monotonic() - began >= 0.9 * 40 / FPS
        assert all(playing.games[0].drawn)
    assert len(frames) == TICS * playing.games[0].steps


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("fps", [30, 60])
def test_live_doom_runs_at_its_own_pace_and_is_shown_at_once(
    fps: int, monkeypatch: pytest.MonkeyPatch
):
    clock, skip = FakeTime(), 4
    monkeypatch.setattr(play, "time", clock)
    monkeypatch.setattr(doom, "time", clock)
    game: Any = doom.Doom("basic", frame_skip=skip)
    playing = Playing([game], live=True)
    playing.stream.fps = fps
    delays: set[float] = set()
    submit = playing.stream.submit_frame

    def submit_and_note(frame: Frame, **timing: Any) -> None:
        delays.add(clock.now - frame.captured_at)
        submit(frame, **timing)

    monkeypatch.setattr(playing.stream, "submit_frame", submit_and_note)
    with playing.run():
        until("ten seconds of play", lambda: clock.now > 110, 60)
    frames, repeats = playing.stream.frames, playing.stream.repeats
    media_s = frames[-1].captured_at - frames[0].captured_at
    assert playing.progress.counters().step * skip / media_s == pytest.approx(35, rel=0.05)
    assert (len(frames) + sum(repeats)) / media_s == pytest.approx(fps, rel=0.05)
    assert delays == {0}


def test_thoughts_that_led_to_tics_left_out_come_with_the_next_frame():
    playing = Playing([SteppingGame(length=10**6)], live=True)
    playing.stream.fps = FPS // 4
    with playing.run():
        more_steps(playing.games[0])
    assert playing.games[0].draws == len(playing.stream.frames) < TICS * playing.games[0].steps
    thoughts = [thought.step for frame in playing.stream.frames for thought in frame.thoughts]
    assert thoughts == list(range(len(thoughts)))


def test_a_game_slower_than_its_stream_delays_nobody_within_a_tic():
    with Playing([SteppingGame(tics_per_s=0.01), SteppingGame()], live=True).run() as playing:
        shown, other = playing.games
        until("a frame", lambda: playing.stream.frames)
        turns = playing.turns()
        more_steps(other)
        until("two turns", lambda: playing.turns() >= turns + 2)
        assert shown.steps == 1
        playing.stream.set_live(False)
        more_steps(shown)


def test_live_the_other_games_run_beside_it_and_are_never_drawn():
    with Playing([SteppingGame() for _ in range(4)], live=True).run() as playing:
        for game in playing.games:
            more_steps(game)
        shown, *others = playing.games
        assert shown.threads == {"shown_0"}
        assert "shown_0" not in set().union(*(game.threads for game in others))
        assert not any(any(game.drawn) for game in others)
        stepped = sum(game.steps for game in playing.games)
        assert playing.progress.counters().step >= stepped - 8


def test_a_game_that_hangs_does_not_delay_the_shown_one():
    gate = threading.Event()
    hanging = SteppingGame(on_step=lambda: gate.wait(30))
    with Playing([SteppingGame(), hanging, SteppingGame()], live=True).run() as playing:
        until("it hangs", lambda: hanging.threads)
        more_steps(playing.games[0])
        assert hanging.steps == 0
        gate.set()
        more_steps(hanging)


def test_in_standby_all_games_run_together_without_drawing():
    with Playing([SteppingGame() for _ in range(4)], live=False).run() as playing:
        for game in playing.games:
            more_steps(game)
        assert (0, 2) in playing.actor.batches and (1, 3) in playing.actor.batches
        assert not any(any(game.drawn) for game in playing.games)
        assert playing.stream.frames == []
        assert playing.stream.snapshot is not None


def test_games_of_this_process_are_played_on_the_same_threads_live_and_in_standby():
    games = [SteppingGame(in_process=True) for _ in range(4)]
    with Playing(games, live=False).run() as playing:
        for live in (True, False):
            for game in games:
                more_steps(game)
            playing.stream.set_live(live)
        assert playing.stream.snapshot is not None
        assert (0, 1, 2, 3) in playing.actor.batches
    shown, *others = games
    assert shown.called_on == {"shown_0"}
    assert set().union(*(game.called_on for game in others)) == {"games_0"}


def test_live_play_has_the_priority_of_the_process_and_standby_a_lower_one():
    seen: dict[str, int] = {}

    def note(where: str) -> None:
        seen[where] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    games = [
        SteppingGame(on_step=lambda: note("shown")),
        SteppingGame(on_step=lambda: note("other")),
    ]
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with Playing(games, live=True).run() as playing:
        for game in games:
            more_steps(game)
        assert seen["shown"] == own
        assert seen["other"] > own
        playing.stream.set_live(False)
        until("standby", lambda: seen["shown"] > own)


def test_no_change_between_live_and_standby_ends_an_episode():
    games = [SteppingGame(length=10**6) for _ in range(3)]
    with Playing(games, live=False).run() as playing:
        for live in (True, False, True, False):
            more_steps(games[0])
            playing.stream.set_live(live)
        for game in games:
            more_steps(game)
    assert [game.resets for game in games] == [1, 1, 1]


def test_the_shown_game_is_drawn_large_from_the_next_episode_on_and_the_stream_is_told():
    with Playing([SteppingGame(length=3), SteppingGame()], live=False).run() as playing:
        more_steps(playing.games[0])
        playing.stream.render_size = SIZE
        until("it is told", lambda: playing.stream.large[-1])
        assert playing.games[0].size == SIZE
        assert playing.games[1].size is None
        playing.stream.render_size = None
        until("it is told again", lambda: not playing.stream.large[-1])


def test_a_stream_of_another_quality_is_paced_and_drawn_accordingly_without_ending_an_episode():
    with Playing([SteppingGame(length=10**6)], live=True).run() as playing:
        frames = playing.stream.frames
        more_steps(playing.games[0])
        playing.stream.fps, playing.stream.render_size = FPS // 4, (32, 18)
        until("the game is told", lambda: playing.games[0].size == (32, 18))
        began, before = time.monotonic(), len(frames)
        until("twenty frames", lambda: len(frames) >= before + 20)
        assert time.monotonic() - began >= 0.9 * 18 / (FPS // 4)
    assert playing.games[0].resets == 1


@pytest.mark.parametrize("live", [True, False])
def test_episodes_and_rollouts_of_all_games_count(live: bool):
    games = [SteppingGame(length=3), SteppingGame(length=5)]
    with Playing(games, live=live).run() as playing:
        for game in games:
            more_steps(game)
    episodes = playing.stream.episodes
    assert [each.episode for each in episodes] == list(range(1, len(episodes) + 1))
    assert {(each.length, each.total_reward) for each in episodes} == {(3, 3.0), (5, 5.0)}
    assert {each.worker_index for each in episodes} == {3}
    assert len(episodes) == sum(game.resets - 1 for game in games)
    for episode, recording in zip(episodes, playing.stream.recordings, strict=True):
        assert recording is not None
        assert recording.total_reward == episode.total_reward
        assert len(recording.steps) == episode.length
    assert playing.progress.counters().step == sum(game.steps for game in games)
    assert len(playing.learner.rollouts) == sum(game.steps // 4 for game in games)


@pytest.mark.parametrize("live", [True, False])
def test_an_episode_carries_the_version_that_ended_it(live: bool):
    with Playing([SteppingGame(), SteppingGame()], live=live).run() as playing:
        more_steps(playing.games[0])
        playing.actor.version = 1
        more_steps(playing.games[0])
    assert playing.stream.episodes[0].policy_version == 0
    assert playing.stream.episodes[-1].policy_version == 1


def test_unseen_games_pause_while_the_learner_is_behind_and_the_shown_one_does_not():
    with Playing([SteppingGame(), SteppingGame()], live=True).run() as playing:
        shown, other = playing.games
        more_steps(other)
        playing.learner.room = False
        pauses(other, shown)
        playing.learner.room = True
        more_steps(other)


def test_decisions_are_timed_beside_unseen_games():
    with Playing([SteppingGame(), SteppingGame()], live=True).run() as playing:
        more_steps(playing.games[1])
        until("a decision was timed", lambda: playing.stream.deciding_s > 0)


def test_a_paused_worker_goes_live_at_once():
    with Playing([SteppingGame(), SteppingGame()], live=False).run() as playing:
        more_steps(playing.games[0])
        playing.learner.room = False
        playing.stream.set_live(True)
        until("frames", lambda: len(playing.stream.frames) > 10)


def test_games_keep_running_while_the_learner_is_behind_where_that_is_set():
    schedule = replace(DEFAULT, pause_when_behind=False)
    games = [SteppingGame(), SteppingGame()]
    with Playing(games, live=False, schedule=schedule).run() as playing:
        playing.learner.room = False
        for game in playing.games:
            more_steps(game)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("broken", [0, 1])
def test_a_game_that_breaks_ends_play_with_its_error(live: bool, broken: int):
    games = [SteppingGame(), SteppingGame()]

    def break_down() -> None:
        if games[broken].steps > 10:
            raise GameError("the engine is gone")

    games[broken].on_step = break_down
    with Playing(games, live=live).run() as playing:
        playing.wait_for_the_end()
        assert str(playing.failure) == "the engine is gone"


def test_on_few_cores_the_other_games_pause_while_one_is_live():
    games = [SteppingGame(), SteppingGame()]
    schedule = replace(DEFAULT, run_others_while_live=False)
    with Playing(games, live=False, schedule=schedule).run() as playing:
        more_steps(games[1])
        playing.stream.fps = FPS
        pauses(games[1], games[0])
        playing.stream.fps = None
        more_steps(games[1])


def test_a_thought_comes_with_the_first_frame_after_its_decision():
    counters = Counters(step=100, episode=7)
    with Playing([SteppingGame(length=3)], live=True, counters=counters).run() as playing:
        more_steps(playing.games[0], 8)
    frames = playing.stream.frames
    assert [len(frame.thoughts) for frame in frames[: 4 * TICS]] == [1, *[0] * (TICS - 1)] * 4
    thoughts = [thought for frame in frames for thought in frame.thoughts]
    assert [thought.step for thought in thoughts[:6]] == [0, 1, 2, 0, 1, 2]
    assert [thought.episode_return for thought in thoughts[:4]] == [0.0, 1.0, 2.0, 0.0]
    assert thoughts[0].episode == 8
    assert thoughts[3].episode == 9
    assert thoughts[0].probabilities == [0.5, 0.5]
    assert thoughts[0].action == 0
    with_thoughts = [frame.captured_at for frame in frames if frame.thoughts]
    assert [each.captured_at for each in playing.saliency.decided] == with_thoughts


def test_live_episodes_of_the_shown_game_are_offered_with_their_first_moment_and_last_frame():
    with Playing([SteppingGame(5), SteppingGame(3)], live=True).run() as playing:
        offers = playing.highlights.offers
        until("three episodes", lambda: len(offers) >= 3)
        playing.stream.set_live(False)
        standby_at = playing.games[0].steps
        until("it plays unseen", lambda: playing.games[0].steps > standby_at + 50)
        assert len(offers) <= standby_at / 5 + 2
    assert {report.length for report, _, _ in offers} == {5}
    for number, (_, _, ended_at) in enumerate(offers):
        assert 5 * number < ended_at <= 5 * number + 5, "the game's frames tell its steps"
    began = [began_at for _, began_at, _ in offers]
    assert began == sorted(set(began))


def test_a_restarted_worker_continues_its_counters():
    counters = Counters(step=100, episode=7)
    with Playing([SteppingGame(length=3)], live=False, counters=counters).run() as playing:
        more_steps(playing.games[0], 8)
    assert playing.progress.counters().step == 100 + playing.games[0].steps
    episodes = playing.stream.episodes
    assert episodes[-1].episode == 7 + len(episodes)
    assert episodes[-1].step > 100
