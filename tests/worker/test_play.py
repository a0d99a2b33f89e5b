"""Live play, standby play, and the change between them."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from metabonk.errors import GameError
from metabonk.frame import Frame
from metabonk.messages import Counters, Episode
from metabonk.policy import PolicySpec, RolloutBuilder
from metabonk.policy.env_runner import EnvRunner
from metabonk.system import shared_memory
from metabonk.worker.play import FramePacer, PlayLoop
from metabonk.worker.progress import Progress
from metabonk.worker.saliency import DecisionFrame
from metabonk.worker.sampler import EnvPool
from metabonk.worker.scheduling import Schedule
from tests.support.waiting import until
from tests.support.worker_stand_ins import DESCRIPTION, TICS, LeftActor, SteppingGame

FPS = 200
DEFAULT = Schedule()
NONE = Counters()
SIZE = (64, 36)


class RecordingStream:
    """A stream that wants what the test wants, and keeps what it is given.

    Attributes:
        frames: submitted.
        snapshot: set last.
        episodes: added.
        large: whether each episode began at the viewers' size.
    """

    def __init__(self, *, live: bool) -> None:
        self.set_live(live)
        self.frames: list[Frame] = []
        self.snapshot: Frame | None = None
        self.episodes: list[Episode] = []
        self.large: list[bool] = []

    def submit_frame(self, frame: Frame, *, waited_s: float = 0.0) -> None:
        assert 0 <= waited_s < 1
        self.frames.append(frame)

    def set_snapshot(self, frame: Frame) -> None:
        self.snapshot = frame

    def add_episode(self, episode: Episode) -> None:
        self.episodes.append(episode)

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


class Playing:
    """A play loop over some games, on a thread that stands for the main one."""

    def __init__(
        self,
        games: list[SteppingGame],
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
        self.progress = Progress(3, counters)
        self.failure: BaseException | None = None
        self._stopped = threading.Event()
        self._pool = EnvPool(
            EnvRunner(games[0], 0, self._builder(), lambda: self._play.on_episode_start()),
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
        )
        self._thread = threading.Thread(target=self._run, name="main-play")

    def _builder(self) -> RolloutBuilder:
        return RolloutBuilder(PolicySpec.of(DESCRIPTION), 4)

    def _open(self, number: int) -> EnvRunner:
        runner = EnvRunner(self.games[number], number, self._builder())
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
            self._thread.join(5)
            assert not self._thread.is_alive()
            self._pool.close()

    def wait_for_the_end(self) -> None:
        self._thread.join(5)


@pytest.fixture(autouse=True)
def _plenty_of_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "LIVE_GAME_RESERVE", 0)


def more_steps(game: SteppingGame, than: int = 20) -> None:
    before = game.steps
    until(f"{than} more steps", lambda: game.steps >= before + than)


def test_live_every_tic_of_the_shown_game_is_submitted_at_the_streams_rate():
    with Playing([SteppingGame()], live=True).run() as playing:
        frames = playing.stream.frames
        until("frames", lambda: frames)
        before, began = len(frames), time.monotonic()
        until("forty frames", lambda: len(frames) >= before + 40)
        assert time.monotonic() - began >= 0.9 * 40 / FPS
        assert all(playing.games[0].drawn)
    assert len(frames) == TICS * playing.games[0].steps


def test_live_the_other_games_run_beside_it_and_are_never_drawn():
    with Playing([SteppingGame() for _ in range(4)], live=True).run() as playing:
        for game in playing.games:
            more_steps(game)
        shown, *others = playing.games
        assert shown.threads == {"main-play"}
        assert "main-play" not in set().union(*(game.threads for game in others))
        assert not any(any(game.drawn) for game in others)
        assert playing.progress.counters().step >= sum(game.steps for game in playing.games) - 8


def test_a_game_that_hangs_does_not_delay_the_shown_one():
    gate = threading.Event()
    hanging = SteppingGame(on_step=lambda: gate.wait(5))
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
        before, began = len(frames), time.monotonic()
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
        more_steps(shown, 10)
        paused_at = other.steps
        more_steps(shown, 10)
        assert other.steps == paused_at
        playing.learner.room = True
        more_steps(other)


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
        more_steps(games[0])
        paused_at = games[1].steps
        more_steps(games[0])
        more_steps(games[0])
        assert games[1].steps == paused_at
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


def test_a_restarted_worker_continues_its_counters():
    counters = Counters(step=100, episode=7)
    with Playing([SteppingGame(length=3)], live=False, counters=counters).run() as playing:
        more_steps(playing.games[0], 8)
    assert playing.progress.counters().step == 100 + playing.games[0].steps
    episodes = playing.stream.episodes
    assert episodes[-1].episode == 7 + len(episodes)
    assert episodes[-1].step > 100


def test_frames_keep_their_distance_however_long_they_take_to_draw():
    pacer = FramePacer(fps=10)
    assert pacer.wait_s(100.0) == pytest.approx(0.1)
    assert pacer.wait_s(100.12) == pytest.approx(0.08)
    assert pacer.wait_s(100.21) == pytest.approx(0.09)


def test_a_small_delay_is_made_up_for():
    pacer = FramePacer(fps=10)
    pacer.wait_s(100.0)
    assert pacer.wait_s(100.19) == pytest.approx(0.01)
    assert pacer.wait_s(100.21) == pytest.approx(0.09)


def test_after_a_long_delay_frames_do_not_come_in_a_burst():
    pacer = FramePacer(fps=10)
    pacer.wait_s(100.0)
    assert pacer.wait_s(105.0) == pytest.approx(0.1)
    assert pacer.wait_s(105.1) == pytest.approx(0.1)
