"""Shadows in processes of their own: what they show, whom they outlive, and whom they don't."""

import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import psutil
import pytest

from metabonk.broadcast import channel
from metabonk.broadcast.records import EpisodeStart, FrameRecord, Record, Step, Thought
from metabonk.broadcast.ring_reader import RingReader
from metabonk.broadcast.shadow_link import (
    MARK,
    MAX_MESSAGE,
    ShadowReport,
    Wanted,
    decode,
    encode,
)
from metabonk.broadcast.wrapper import Broadcast
from metabonk.system import peers
from metabonk.system.left_behind import end_lost_sessions
from tests.support import clocked
from tests.support.census import runs, shared_memory
from tests.support.rings import records_of
from tests.support.waiting import GENEROUS_S, until

POLE = "CartPole-v1"


class Viewer:
    """The other end of a shadow's connection."""

    def __init__(self, name: str) -> None:
        self._connection = until("a host", lambda: peers.connect(name, 5.0))
        self._reader: RingReader | None = None
        self.reports: list[ShadowReport] = []
        self.records: list[Record] = []

    def want(self, fps: int, ring: Path | None = None) -> None:
        self._connection.send(encode(Wanted(fps, str(ring or ""))))

    def read(self) -> list[Record]:
        """Return the records that came since the last call, and keep all of them."""
        self._connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                data, descriptors, _, _ = socket.recv_fds(self._connection, MAX_MESSAGE, 1)
                if not data:
                    raise ConnectionResetError
                self.reports.append(decode(ShadowReport, data))
                if descriptors:
                    self._finish_ring()
                    self._reader = RingReader(descriptors[0])
        new = [] if self._reader is None else records_of(self._reader)
        self.records += new
        return new

    def until(self, what: str, kind: type[Record], count: int = 1) -> None:
        deadline = time.monotonic() + GENEROUS_S
        while len(self.of(kind)) < count:
            assert time.monotonic() < deadline, what
            time.sleep(0.005)
            self.read()

    def of(self, kind: type[Any]) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]

    @property
    def pid(self) -> int:
        until("a report", lambda: self.read() is not None and self.reports)
        return self.reports[-1].pid

    def has_ended(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            self.read()
            return False
        return True

    def close(self) -> None:
        self._connection.close()
        self._finish_ring()

    def _finish_ring(self) -> None:
        if self._reader is not None:
            self.records += records_of(self._reader)
            self._reader.close()
            self._reader = None


@pytest.fixture
def host() -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    name = f"shadows-{uuid.uuid4()}"
    command = [sys.executable, "-m", "metabonk.broadcast.shadow_process", name]
    environment = {**os.environ, MARK: "1"}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        yield name, process
        process.kill()


@pytest.fixture
def name(host: tuple[str, "subprocess.Popen[bytes]"]) -> str:
    return host[0]


class Trainer:
    """An environment that is trained on, by chance."""

    def __init__(self, environment: gymnasium.Env[Any, Any], **options: Any) -> None:
        self.environment = Broadcast(environment, **options)
        self.environment.action_space.seed(5)
        self.environment.reset(seed=3)
        self.ring: Path = self.environment._channel.ring.file  # type: ignore[union-attr, assignment]
        self.pictures = list[Any]()
        self.rewards = list[float]()

    def play(self, steps: int, meanwhile: Callable[[], object]) -> None:
        """Play and draw an episode that is recorded."""
        until("records are wanted", lambda: self.environment._channel.ring.demand)
        self.environment.reset()
        self._draw()
        for _ in range(steps):
            action = self.environment.action_space.sample()
            _, reward, terminated, truncated, _ = self.environment.step(action)
            self.rewards.append(float(reward))
            self._draw()
            meanwhile()
            if terminated or truncated:
                break

    def _draw(self) -> None:
        if self.environment.render_mode is not None:
            self.pictures.append(self.environment.render())

    def close(self) -> None:
        self.environment.close()


@contextlib.contextmanager
def shown(name: str, trainer: Trainer, fps: int) -> Iterator[Viewer]:
    with contextlib.closing(trainer), contextlib.closing(Viewer(name)) as viewer:
        viewer.want(fps, trainer.ring)
        yield viewer


def pole(**arguments: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(POLE, render_mode="rgb_array", **arguments)


def test_an_episode_is_shown_at_the_speed_of_the_game(name: str):
    trainer = Trainer(pole())
    with shown(name, trainer, 50) as viewer:
        trainer.environment.think(probabilities=[0.25, 0.75], value=1.5, text="left?")
        began = time.monotonic()
        trainer.play(30, viewer.read)
        count = len(trainer.pictures)
        viewer.until("all frames", FrameRecord, count)
        assert time.monotonic() - began > (count - 1) / 50 - 0.02
        frames = viewer.of(FrameRecord)
        for there, here in zip(trainer.pictures, frames, strict=True):
            assert np.array_equal(there, here.pixels)
        spacing = np.diff([frame.captured_at for frame in frames])
        assert np.median(spacing) == pytest.approx(1 / 50, abs=0.004)
        assert [each.reward for each in viewer.of(Step)] == trainer.rewards
        assert [each.number for each in viewer.of(EpisodeStart)] == [1]


def test_thoughts_come_with_their_steps(name: str):
    trainer = Trainer(pole())
    with shown(name, trainer, 50) as viewer:
        until("records are wanted", lambda: trainer.environment._channel.ring.demand)
        trainer.environment.reset()
        trainer.environment.think(probabilities=[0.25, 0.75], value=1.5, text="left?")
        trainer.environment.step(0)
        viewer.until("the step", Step)
        kinds = [type(each) for each in viewer.records]
        assert kinds.index(Thought) < kinds.index(Step)
        (thought,) = viewer.of(Thought)
        assert thought.probabilities.tolist() == [0.25, 0.75]
        assert (thought.value, thought.text) == (1.5, "left?")


def test_a_slow_game_is_drawn_whole_and_a_fast_one_as_often_as_is_wanted(name: str):
    for pace in (5, 240):
        environment = pole()
        environment.metadata = {**environment.metadata, "render_fps": pace}
        trainer = Trainer(environment)
        with shown(name, trainer, 20) as viewer:
            trainer.play(10, viewer.read)
            viewer.until("all steps", Step, len(trainer.rewards))
            viewer.until("the last frame", FrameRecord, len(trainer.pictures) if pace < 20 else 1)
            assert pace < 20 or len(viewer.of(FrameRecord)) <= 2


def test_one_frame_a_second_still_follows_the_game(name: str):
    trainer = Trainer(gymnasium.make("Pendulum-v1", render_mode="rgb_array"))
    with shown(name, trainer, 1) as viewer:
        trainer.play(90, viewer.read)
        viewer.until("three seconds", FrameRecord, 3)
        assert len(viewer.of(Step)) in range(30, 91), "30 in a second, if the machine can"
        assert len(viewer.of(FrameRecord)) == 3
        used = psutil.Process(viewer.pid).cpu_times()
        viewer.want(30)
        last = trainer.pictures[-1]

        def is_last() -> bool:
            viewer.read()
            return np.array_equal(viewer.of(FrameRecord)[-1].pixels, last)

        until("the end", is_last)
        assert used.user + used.system < 1.0


def test_a_faster_trainer_is_shown_in_whole_episodes_and_spared_the_others(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(channel, "BATCH_S", 0.05)
    trainer = Trainer(gymnasium.make(POLE))
    with shown(name, trainer, 50) as viewer:
        until("records are wanted", lambda: trainer.environment._channel.ring.demand)
        recorded, episodes = 0, 0
        lengths: dict[int, int] = {}
        deadline = time.monotonic() + GENEROUS_S
        while len(viewer.of(EpisodeStart)) < 5 and time.monotonic() < deadline:
            trainer.environment.reset()
            recorded += trainer.environment._is_recording
            ended = False
            while not ended:
                lengths[episodes + 1] = lengths.get(episodes + 1, 0) + 1
                action = trainer.environment.action_space.sample()
                _, _, terminated, truncated, _ = trainer.environment.step(action)
                ended = terminated or truncated
            episodes += 1
            viewer.read()
        assert recorded < episodes / 2
        played = list[list[int]]()
        for record in viewer.records:
            if isinstance(record, EpisodeStart):
                played.append([record.number, 0])
            elif isinstance(record, Step):
                played[-1][1] += 1
        assert len(played) == 5
        found = [(number, steps, lengths[number]) for number, steps in played[:-1]]
        assert all(steps == length for _, steps, length in found), found
        speed = viewer.reports[-1].steps_per_s
        assert speed is not None and speed > 500


@pytest.mark.parametrize("victim", ["shadow", "host"])
def test_a_game_engine_ends_with_a_shadow_or_a_host_that_is_killed(
    host: tuple[str, "subprocess.Popen[bytes]"],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    victim: str,
):
    name, process = host
    monkeypatch.chdir(tmp_path)  # ViZDoom leaves a folder there.
    importlib.import_module("vizdoom.gymnasium_wrapper")
    trainer = Trainer(gymnasium.make("VizdoomBasic-v1"))
    with shown(name, trainer, 20) as viewer:
        trainer.play(2, viewer.read)
        (engine,) = until("its engine", psutil.Process(viewer.pid).children)
        memory = until("its memory", lambda: shared_memory([engine]))
        os.kill(viewer.pid if victim == "shadow" else process.pid, signal.SIGKILL)

        def is_over() -> bool:
            if victim == "host":
                end_lost_sessions(MARK)  # As a hub does each second.
            return viewer.has_ended() and not runs(engine)

        until("the end of both", is_over)
        until("the end of their memory", lambda: not any(file.exists() for file in memory))


def test_an_environment_that_depends_on_time_is_found_out_at_its_first_differing_reward(
    name: str,
):
    trainer = Trainer(gymnasium.make(clocked.ID, render_mode="rgb_array"))
    with shown(name, trainer, 20) as viewer:
        trainer.play(10, viewer.read)
        until("its end", viewer.has_ended)
        report = viewer.reports[-1]
        assert report.has_failed and "in step 4 the reward is" in report.note
        viewer._finish_ring()
        assert len(viewer.of(Step)) == 3 and len(viewer.of(FrameRecord)) == 4
        until("nothing is wanted", lambda: not trainer.environment._channel.ring.demand)


def test_an_environment_that_never_resets_is_drawn_by_its_trainer_until_it_does(name: str):
    environment = gymnasium.make("Pendulum-v1", render_mode="rgb_array", max_episode_steps=10_000)
    trainer = Trainer(environment, budget=0.5)
    with shown(name, trainer, 30) as viewer:

        def has(done: Any) -> bool:
            trainer.environment.step(trainer.environment.action_space.sample())
            viewer.read()
            return bool(done())

        until("frames", lambda: has(lambda: len(viewer.of(FrameRecord)) > 3))
        until("a report", lambda: has(lambda: viewer.reports[-1].is_inline))
        assert "began before anybody watched" in viewer.reports[-1].note
        assert viewer.of(EpisodeStart) == []
        trainer.environment.reset()
        until("the episode", lambda: has(lambda: viewer.of(EpisodeStart)))
        until("a report", lambda: has(lambda: not viewer.reports[-1].is_inline))
        assert viewer.reports[-1].note == ""


def test_a_broken_environment_says_why(name: str, tmp_path: Path, monkeypatch: Any):
    (tmp_path / "only_there.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "class Pole(CartPoleEnv):\n"
        "    def __init__(self, **arguments):\n"
        "        import sys\n"
        "        if 'metabonk.broadcast.shadow_player' in sys.modules:\n"
        "            raise RuntimeError('no display')\n"
        "        super().__init__(**arguments)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    gymnasium.register("Pole-v0", entry_point="only_there:Pole")
    trainer = Trainer(gymnasium.make("Pole-v0"))
    del gymnasium.registry["Pole-v0"]
    with shown(name, trainer, 30) as viewer:
        until("its end", viewer.has_ended)
        assert "to make the copy failed" in viewer.reports[-1].note
        assert viewer.reports[-1].has_failed


def test_a_shadow_ends_with_the_one_who_shows_it_and_the_host_after_the_last(
    host: tuple[str, "subprocess.Popen[bytes]"],
):
    name, process = host
    trainer = Trainer(pole())
    with contextlib.closing(trainer):
        viewers = [Viewer(name), Viewer(name)]
        for viewer in viewers:
            viewer.want(30, trainer.ring)
        first, second = (viewer.pid for viewer in viewers)
        assert first != second and psutil.Process(first).ppid() == process.pid
        viewers[0].close()
        until("its end", lambda: not psutil.pid_exists(first))
        os.kill(second, signal.SIGSTOP)
        viewers[1].close()
        until("the end of the one that can't end by itself", lambda: not psutil.pid_exists(second))
        until("the end of the host", lambda: process.poll() == 0)


def test_shadows_end_with_their_host(host: tuple[str, "subprocess.Popen[bytes]"]):
    name, process = host
    with shown(name, Trainer(pole()), 30) as viewer:
        pid = viewer.pid
        os.kill(pid, signal.SIGSTOP)
        process.kill()
        until(
            "its end",
            lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie",
        )
        assert viewer.has_ended()


def test_of_two_hosts_of_a_name_one_ends(host: tuple[str, "subprocess.Popen[bytes]"]):
    name, process = host
    Viewer(name).close()
    command = [sys.executable, "-m", "metabonk.broadcast.shadow_process", name]
    assert subprocess.run(command, timeout=20, check=False).returncode == 0
    assert process.poll() is None
