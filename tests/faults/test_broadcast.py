"""Whatever is killed, a training that is watched goes on, and nothing is left behind.

``python -m pytest tests/faults/test_broadcast.py --long -s`` kills twenty and prints a table.
"""

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from metabonk.messages.workers import StreamState
from tests.support.census import runs
from tests.support.hub import IDLE_S, Place, place
from tests.support.machine_speed import SLOWNESS
from tests.support.processes import with_word
from tests.support.waiting import until

PROMISE_S = 10.0
VISIBLE_S = 90.0
"""On a busy machine; times are printed."""

HEARTBEATS_S = 1.2

ROUNDS = 6
LONG_ROUNDS = 20
VICTIMS = ("hub", "shadow", "trainer", "guest", "fork-server")
NAME = "CartPole-v1-0"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as here:
        yield here


def is_shown(here: Place) -> bool:
    """Tell whether its steps are shown one after the other, and not the last frame again."""
    shown = set()
    for _ in range(3):
        guest = here.guests().get(NAME)
        if guest is None or guest.guest is None or guest.stream_state is not StreamState.LIVE:
            return False
        shown.add((guest.pid, guest.episode, guest.guest.episode_step))
        time.sleep(HEARTBEATS_S)
    return len(shown) == 3 and len({pid for pid, *_ in shown}) == 1


def victim_of(here: Place, kind: str) -> psutil.Process:
    word = {"shadow": "metabonk.broadcast.shadow_process"}.get(kind, kind)
    return until(f"a {kind} is there", lambda: next(iter(with_word(here.processes(), word)), None))


@pytest.mark.timeout(1200)
def test_a_training_never_notices_what_is_killed(here: Place, long: bool):
    chance = random.Random(7)
    count = LONG_ROUNDS if long else ROUNDS
    # Not one kind all the time: an environment whose shadow always ends is given up.
    cycles = [chance.sample(VICTIMS, len(VICTIMS)) for _ in range(count)]
    kinds = [kind for cycle in cycles for kind in cycle][:count]
    training = here.train(seconds=1200)
    until("it is shown", lambda: is_shown(here), VISIBLE_S)
    for number, kind in enumerate(kinds):
        before = here.processes()
        began = time.monotonic()
        if kind == "trainer":
            training.kill()
            training.communicate()
            until("its guest is gone", lambda: NAME not in here.guests(), PROMISE_S)
            gone_s = time.monotonic() - began
            training = here.train(seconds=1200)
        else:
            victim = victim_of(here, kind)
            victim.kill()
            if kind == "fork-server":
                victim_of(here, "guest").kill()  # Else no other server is needed.
            wait_until_ended([victim, *(before if kind == "hub" else [])])
            gone_s = time.monotonic() - began
            assert_steps(training)
        until(f"it is shown after the {kind} was killed", lambda: is_shown(here), VISIBLE_S)
        shown_s = time.monotonic() - began - 2 * HEARTBEATS_S
        print(f"{number + 1:2} {kind:8} gone in {gone_s:4.1f} s, shown in {shown_s:4.1f} s")
    training.kill()
    training.communicate()
    until("all have ended", lambda: not here.processes(), IDLE_S + PROMISE_S)
    assert here.files() == []


def wait_until_ended(processes: list[psutil.Process]) -> None:
    until("what it had started is gone", lambda: not any(map(runs, processes)), PROMISE_S)


def assert_steps(training: "subprocess.Popen[str]") -> None:
    """Check that a training takes steps, by the time that it computes."""
    process = psutil.Process(training.pid)
    before = process.cpu_times().user
    until("it steps", lambda: process.cpu_times().user > before, PROMISE_S)


def test_a_stopped_hub_costs_a_training_nothing(here: Place):
    training = here.train(seconds=25.0 * SLOWNESS)
    until("it is shown", lambda: is_shown(here), VISIBLE_S)
    stopped = with_word(here.processes(), "metabonk.cli.main")
    for process in stopped:
        process.suspend()
    assert_steps(training)
    output, errors = training.communicate(timeout=40 * SLOWNESS)
    assert training.returncode == 0
    assert int(output.split()[-1]) > 1000
    assert errors.count("\n") == 1, "the line with the page's address, and no warning"
