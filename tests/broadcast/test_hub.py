"""How a trainer finds and starts the hub: programs that are as quick stand in for that."""

import os
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from metabonk.broadcast.hub import FIRST_LOOKS_S, LOOK_S, MAX_FAILURES, HubSeeker
from metabonk.broadcast.meeting import LOCK, START_LOG, STARTING, TOLD, meeting_folder
from metabonk.system.file_lock import is_locked, try_lock
from tests.support.clock import Clock
from tests.support.machine_speed import slowness
from tests.support.waiting import until

PAGE = "http://localhost:5173"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(rings: Path) -> Path:
    return meeting_folder()


@pytest.fixture
def python(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Return an environment in which this shell script is the hub's interpreter."""

    def environment(script: str) -> dict[str, str]:
        file = tmp_path / "python"
        file.write_text(f"#!/bin/sh\n{textwrap.dedent(script)}")
        file.chmod(0o755)
        return {**os.environ, "METABONK_HUB": str(file)}

    return environment


def show(folder: Path) -> int:
    descriptor = try_lock(folder / LOCK)
    assert descriptor is not None
    os.write(descriptor, f'{{"page": "{PAGE}"}}'.encode())
    return descriptor


def test_a_hub_that_is_there_is_told_of_once(
    folder: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
):
    shown = show(folder)
    first, second = (HubSeeker({"METABONK_HUB": "0"}, clock) for _ in range(2))
    for _ in range(3):
        first.seek()
        # Another process of the same training.
        second.seek()
        clock.now += LOOK_S
    assert capsys.readouterr().err == f"metabonk: watch at {PAGE}\n"
    os.close(shown)


def test_it_looks_seldom(folder: Path, clock: Clock):
    looks: list[float] = []

    class Counting(HubSeeker):
        def _look(self, folder: Path) -> None:
            looks.append(clock.now)
            super()._look(folder)

    shown = show(folder)
    seeker = Counting({}, clock)
    for _ in range(1000):
        seeker.seek()
        clock.now += 0.01
    assert looks == pytest.approx([0.0, LOOK_S], abs=0.011)
    os.close(shown)


def test_a_hub_is_started_with_the_lock_of_its_start_and_is_no_child(
    folder: Path,
    clock: Clock,
    python: Callable[[str], dict[str, str]],
    tmp_path: Path,
):
    said = tmp_path / "said"
    environment = python(f"""
        echo "$@" > {said}.new
        echo "$PYTHONPATH$PYTHONWARNINGS" >> {said}.new
        mv {said}.new {said}
        exec sleep 0.3
    """)
    environment |= {"PYTHONPATH": "/trainers", "PYTHONWARNINGS": "error"}
    seekers = [HubSeeker(environment, clock) for _ in range(2)]
    began = time.perf_counter()
    for seeker in seekers:
        seeker.seek()
    assert time.perf_counter() - began < 0.2 * slowness(), "it is not waited for"
    until("it runs", said.exists)
    arguments, path = said.read_text().split("\n")[:2]
    assert arguments.startswith("-P -m metabonk.cli.main hub --starting ")
    assert path == "", "the trainer's modules are not those of another interpreter"
    assert is_locked(folder / STARTING), "nobody else starts one"
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    until("it has ended", lambda: not is_locked(folder / STARTING))


def test_a_hub_tells_of_its_page_in_the_terminal_of_the_training_that_started_it(
    folder: Path, clock: Clock, python: Callable[[str], dict[str, str]], tmp_path: Path
):
    environment = python("""
        while [ $# -gt 1 ]; do [ "$1" = --tell ] && fd=$2; shift; done
        echo "this is it" > /proc/self/fd/$fd
    """)
    program = """
import os, sys
for _ in range(40):
    os.dup(2)  # More descriptors than a shell knows by a digit.
from metabonk.broadcast.hub import seek_hub
for _ in range(3):
    seek_hub()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == "this is it\n"


def test_a_hub_that_says_why_it_can_not_start_is_one_warning(
    folder: Path, clock: Clock, python: Callable[[str], dict[str, str]]
):
    seeker = HubSeeker(python("echo 'metabonk: error: the disk is full' >&2\nexit 1"), clock)
    seeker.seek()
    until("it has ended", lambda: not is_locked(folder / STARTING))
    clock.now += FIRST_LOOKS_S
    with pytest.warns(UserWarning, match=r"the disk is full; 'metabonk watch' shows") as caught:
        seeker.seek()
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clock.now += LOOK_S
        seeker.seek()
    assert not is_locked(folder / STARTING)


def test_a_hub_that_is_killed_while_it_starts_is_started_again_a_few_times(
    folder: Path, clock: Clock, python: Callable[[str], dict[str, str]], tmp_path: Path
):
    seeker = HubSeeker(python(f"echo started >> {tmp_path}/starts\nkill -9 $$"), clock)
    for _ in range(MAX_FAILURES):
        seeker.seek()
        until("it has ended", lambda: not is_locked(folder / STARTING))
        clock.now += 60.0
    with pytest.warns(UserWarning, match="ends as soon as it is started"):
        seeker.seek()
    assert (tmp_path / "starts").read_text().count("started") == MAX_FAILURES


def test_a_hub_that_has_run_is_started_again(
    folder: Path, clock: Clock, python: Callable[[str], dict[str, str]], tmp_path: Path
):
    # As a hub that runs does.
    environment = python(f"echo started >> {tmp_path}/starts\nrm {folder / START_LOG}; sleep 0.1")
    seeker, starts = HubSeeker(environment, clock), list[float]()
    while clock.now < 300.0:
        seeker.seek()
        if is_locked(folder / STARTING):
            starts.append(clock.now)
        until("it has ended", lambda: not is_locked(folder / STARTING))
        clock.now += 1.0
    # One that ends again and again costs a training ever less.
    assert starts == [0.0, 5.0, 15.0, 35.0, 75.0, 155.0]
    assert (tmp_path / "starts").read_text().count("started") == len(starts)


def test_an_interpreter_that_is_not_there_is_a_warning(folder: Path, clock: Clock):
    seeker = HubSeeker({**os.environ, "METABONK_HUB": "/nowhere/python"}, clock)
    seeker.seek()
    until("it has ended", lambda: not is_locked(folder / STARTING))
    clock.now += FIRST_LOOKS_S
    with pytest.warns(UserWarning, match="/nowhere/python"):
        seeker.seek()


def test_an_installation_without_the_hubs_parts_says_what_to_install(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("metabonk.broadcast.hub.NEEDED", ("gymnasium", "no_such_module"))
    environment = {key: value for key, value in os.environ.items() if key != "METABONK_HUB"}
    with pytest.warns(UserWarning, match=r"lacks no_such_module: run 'pip install metabonk'"):
        HubSeeker(environment, clock).seek()
    assert not (folder / START_LOG).exists()


def test_a_folder_that_cannot_be_used_is_a_warning(rings: Path, clock: Clock):
    rings.mkdir(parents=True)
    rings.chmod(0o777)
    with pytest.warns(UserWarning, match="writable by other users"):
        HubSeeker({}, clock).seek()


def test_nothing_is_started_where_that_is_switched_off(folder: Path, clock: Clock):
    seeker = HubSeeker({"METABONK_HUB": "0"}, clock)
    seeker.seek()
    assert list(folder.iterdir()) == []


def test_the_note_goes_with_the_trainer(folder: Path):
    shown = show(folder)
    program = "from metabonk.broadcast.hub import seek_hub; seek_hub()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == f"metabonk: watch at {PAGE}\n"
    assert list(folder.glob(f"{TOLD}*")) == []
    os.close(shown)
