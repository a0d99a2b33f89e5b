"""A thread and a process that it calls, on one core and elsewhere."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from metabonk.system import shared_core
from metabonk.system.shared_core import EVERYWHERE, Callee

T = TypeVar("T")


@pytest.fixture
def pid() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def on_staying_thread(work: Callable[[], T]) -> T:
    """Do something on a new thread that stays where it calls."""
    with ThreadPoolExecutor(1, initializer=shared_core.stay) as thread:
        return thread.submit(work).result()


def test_a_process_is_on_the_core_of_its_caller(pid: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared_core, "STAY_S", 600.0)
    callee = Callee(pid)

    def call() -> tuple[set[int], set[int]]:
        callee.join_caller()
        callee.join_caller()
        return os.sched_getaffinity(0), os.sched_getaffinity(pid)

    mine, its = on_staying_thread(call)
    assert mine == its
    assert len(mine) == 1 and mine <= EVERYWHERE


def test_a_thread_that_waits_for_its_core_runs_freely_for_a_call(
    pid: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shared_core, "STAY_S", 0.05)
    callee = Callee(pid)
    cores: list[set[int]] = []

    def compute(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def call() -> None:
        callee.join_caller()
        callee.join_caller()
        (core,) = os.sched_getaffinity(0)
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
            os.sched_setaffinity(other.pid, {core})
            for _ in range(40):
                compute(0.02)
                callee.join_caller()
                cores.append(os.sched_getaffinity(0))
            other.kill()

    on_staying_thread(call)
    assert EVERYWHERE in cores


def test_a_thread_that_has_its_core_to_itself_stays(pid: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared_core, "STAY_S", 0.0)
    monkeypatch.setattr(shared_core, "CONTENDED", 1.0)
    callee = Callee(pid)

    def call() -> set[int]:
        for _ in range(5):
            callee.join_caller()
        return os.sched_getaffinity(0)

    assert len(on_staying_thread(call)) == 1


def test_a_process_runs_anywhere_again_once_another_thread_calls_it(
    pid: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shared_core, "STAY_S", 600.0)
    callee = Callee(pid)

    def call() -> None:
        callee.join_caller()
        callee.join_caller()

    on_staying_thread(call)
    callee.join_caller()
    assert os.sched_getaffinity(pid) == EVERYWHERE
    assert os.sched_getaffinity(0) == EVERYWHERE


def test_a_process_started_on_one_core_runs_anywhere_once_it_is_called(pid: int):
    os.sched_setaffinity(pid, {min(EVERYWHERE)})
    Callee(pid).join_caller()
    assert os.sched_getaffinity(pid) == EVERYWHERE


def test_a_process_that_has_ended_is_no_error():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    on_staying_thread(Callee(process.pid).join_caller)
