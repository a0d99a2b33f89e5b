"""``Broadcast`` under trainers that people use: their processes, their results."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.places import find_rings
from metabonk.broadcast.records import EpisodeStart, Record, Step
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.shadow import Shadow
from metabonk.broadcast.wrapper import Broadcast
from tests.support.rings import records_of
from tests.support.waiting import until

POLE = "CartPole-v1"

# Python 3.12 warns of the forks of these trainers.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def watch() -> list[RingReader]:
    """Ask all rings for records."""
    readers = [RingReader(file) for file in find_rings()]
    for reader in readers:
        set_demand(reader.file, Demand.RECORDS, 600)
    return readers


def read(reader: RingReader) -> list[Record]:
    records = records_of(reader)
    assert reader.missed == 0
    return records


def returns(records: list[Record]) -> list[float]:
    """Return the returns of whole episodes."""
    finished, total = list[float](), 0.0
    for record in records:
        if isinstance(record, EpisodeStart):
            total = 0.0
        elif isinstance(record, Step):
            total += record.reward
            if record.is_last:
                finished.append(total)
    return finished


def shadow_returns(reader: RingReader, records: list[Record]) -> list[float]:
    """Return those of a shadow, which compares every reward."""
    recipe = Announcement.from_json(reader.announcement).recipe
    assert recipe is not None
    shadow = Shadow(recipe)
    for record in records:
        match record:
            case EpisodeStart():
                shadow.begin(record)
            case Step():
                shadow.step(record)
    shadow.close()
    return returns(records)


def train(folder: Path, wrapper: Any, *, is_watched: bool = False) -> list[float]:
    """Return the parameters that PPO learns in CartPole, and write its log."""
    environments = make_vec_env(POLE, 4, seed=3, wrapper_class=wrapper, monitor_dir=str(folder))
    # Threads that wait for each other make a small network slower on a busy machine.
    torch.set_num_threads(1)
    model = PPO("MlpPolicy", environments, n_steps=64, n_epochs=3, seed=3, device="cpu")
    readers = list[RingReader]()
    if is_watched:
        environments.reset()
        readers = watch()
        environments.seed(3)
    model.learn(1024)
    if is_watched:
        logged = [
            float(line.split(",")[0])
            for file in sorted(folder.glob("*.csv"))
            for line in file.read_text().splitlines()[2:]
        ]
        seen = [each for reader in readers for each in shadow_returns(reader, read(reader))]
        assert len(readers) == 4 and seen == logged and len(seen) > 10
    for reader in readers:
        reader.close()
    environments.close()
    return [value for each in model.policy.parameters() for value in each.flatten().tolist()]


@pytest.mark.parametrize("is_watched", [False, True])
def test_ppo_learns_the_same_to_the_bit(tmp_path: Path, is_watched: bool):
    without = train(tmp_path / "without", None)
    wrapped = train(tmp_path / "with", Broadcast, is_watched=is_watched)
    assert wrapped == without
    assert find_rings() == []


@pytest.mark.parametrize("start_method", ["fork", "forkserver", "spawn"])
def test_each_process_of_a_vector_environment_has_its_ring(start_method: str, rings: Path):
    environments = make_vec_env(
        POLE,
        3,
        wrapper_class=Broadcast,
        vec_env_cls=SubprocVecEnv,
        vec_env_kwargs={"start_method": start_method},
    )
    assert find_rings() == []
    environments.seed(0)
    environments.reset()
    readers = watch()
    announced = [Announcement.from_json(reader.announcement) for reader in readers]
    assert [each.name for each in announced] == [f"{POLE}-{rank}" for rank in range(3)]
    assert len({each.pid for each in announced} | {os.getpid()}) == 4
    environments.reset()
    for _ in range(60):
        environments.step(np.ones(3, np.int64))
    environments.close()
    until("the rings are gone", lambda: find_rings() == [])
    for reader in readers:
        assert len(shadow_returns(reader, read(reader))) >= 3
        reader.close()
    assert list(rings.iterdir()) == []


def test_a_parent_that_has_a_ring_forks_children_with_theirs():
    environments = DummyVecEnv([lambda: Broadcast(gymnasium.make(POLE), name="parent")])
    environments.reset()
    forked = SubprocVecEnv(
        [lambda: Broadcast(gymnasium.make(POLE), name="child")] * 2, start_method="fork"
    )
    forked.reset()
    assert {each.stem for each in find_rings()} == {"child", "child-1", "parent"}
    readers = {reader.file.stem: reader for reader in watch()}
    environments.reset()
    environments.step([0])
    assert [type(each) for each in read(readers["parent"])] == [EpisodeStart, Step]
    assert read(readers["child"]) == []
    forked.close()
    environments.close()


def test_gymnasiums_vector_environments_take_it_as_a_wrapper():
    for mode, own in (("async", False), ("sync", True)):
        environments = gymnasium.make_vec(POLE, 3, mode, wrappers=[Broadcast])
        assert find_rings() == [], "the parent's dummy is never reset"
        environments.reset(seed=1)
        readers = watch()
        pids = {Announcement.from_json(reader.announcement).pid for reader in readers}
        assert len(readers) == 3 and (pids == {os.getpid()}) == own
        environments.reset()
        for _ in range(60):
            environments.step(np.zeros(3, np.int64))
        for reader in readers:
            assert len(shadow_returns(reader, read(reader))) >= 3
            reader.close()
        environments.close()
        assert find_rings() == []


TRAINER = """
import sys
import gymnasium
from metabonk.broadcast.wrapper import Broadcast
environment = Broadcast(gymnasium.make("CartPole-v1"))
environment.reset(seed=1)
print("plays", flush=True)
while True:
    _, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
    if terminated or truncated:
        environment.reset()
"""


@pytest.fixture
def trainer() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-W", "error", "-c", TRAINER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "plays\n"
        yield process
        process.kill()


def test_a_killed_trainer_is_no_more_found(trainer: "subprocess.Popen[str]", rings: Path):
    (reader,) = watch()
    until("it is read", lambda: len(reader.read()) > 0)
    trainer.kill()
    trainer.wait()
    assert find_rings() == []
    assert len(list(rings.iterdir())) == 1
    with contextlib.closing(Broadcast(gymnasium.make(POLE))) as next_one:
        next_one.reset()
        assert len(find_rings()) == len(list(rings.iterdir())) == 1


def test_a_stopped_trainer_loses_nothing_and_a_stopped_watcher_hurts_nobody(
    trainer: "subprocess.Popen[str]",
):
    (reader,) = watch()
    until("it is read", lambda: len(reader.read()) > 0)
    trainer.send_signal(signal.SIGSTOP)
    reader.read()
    trainer.send_signal(signal.SIGCONT)
    until("it plays on", lambda: len(reader.read()) > 0)
    missed = reader.missed

    def has_missed() -> bool:
        reader.read()
        return reader.missed > missed

    # Nobody reads for as long as it takes to write the ring full.
    until("the ring was written over", lambda: reader._head().committed > 3 << 20, 60)
    until("the reader knows", has_missed)
    assert trainer.poll() is None
    reader.close()


def test_a_trainer_without_its_files_goes_on(trainer: "subprocess.Popen[str]", rings: Path):
    (reader,) = watch()
    for file in rings.iterdir():
        file.unlink()
    rings.rmdir()
    until("it is read", lambda: len(reader.read()) > 0)
    until("it plays on", lambda: len(reader.read()) > 0)
    assert trainer.poll() is None
    reader.close()
