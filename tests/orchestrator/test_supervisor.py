"""With real processes: what is started, why it died, and that nothing outlives a stop."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from metabonk.errors import SettingsError
from metabonk.orchestrator.supervisor import (
    ABORT_GRACE_S,
    HEALTHY_AFTER_S,
    SHOWN_S,
    ChildSpec,
    ChildState,
    ExitReport,
    Supervisor,
    back_off,
    last_words,
    words_in,
)
from tests.support.children import (
    CARELESS,
    OBEDIENT,
    STUBBORN,
    all_gone,
    descendants,
    spec,
    text,
    until,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def made(clock: Clock) -> Iterator[list[Supervisor]]:
    supervisors: list[Supervisor] = []
    yield supervisors
    for supervisor in supervisors:
        supervisor.stop(grace_s=0.0)


def supervise(
    made: list[Supervisor], clock: Clock, *specs: ChildSpec, **given: float
) -> Supervisor:
    options = {"stagger_s": 0.0, "restart_backoff_max_s": 10.0, **given}
    made.append(Supervisor(specs, clock=clock, **options))
    return made[-1]


def test_children_start_one_by_one_spaced_and_in_order(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    children = [spec(tmp_path, f"omega-{i}", OBEDIENT) for i in range(3)]
    supervisor = supervise(made, clock, *children, stagger_s=2.0)
    running = []
    for clock.now in (0.0, 1.9, 2.0, 3.0, 4.0):
        supervisor.tick()
        running.append([n for n, s in supervisor.states().items() if s is ChildState.RUNNING])
    assert [len(names) for names in running] == [1, 1, 2, 2, 3]
    assert running[0] == ["omega-0"]
    assert running[2] == ["omega-0", "omega-1"]


def test_output_is_appended_to_the_log(tmp_path: Path, made: list[Supervisor], clock: Clock):
    child = spec(tmp_path, "omega-0", "import sys; print('out'); print('err', file=sys.stderr)")
    child.log.parent.mkdir()
    child.log.write_text("earlier\n")
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    until(supervisor.tick)
    assert sorted(text(child).split()) == ["earlier", "err", "out"]


def test_each_child_leads_a_session_of_its_own(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    supervisor = supervise(made, clock, spec(tmp_path, "omega-0", OBEDIENT))
    supervisor.tick()
    (process,) = descendants()
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    assert [int(fields[2]), int(fields[3])] == [process.pid, process.pid]


def test_a_dead_child_is_started_again_later_each_time_and_says_why_it_died(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    child = spec(tmp_path, "learner", "print('disk on fire'); raise SystemExit(3)")
    supervisor = supervise(made, clock, child, restart_backoff_max_s=1.5)
    for pause in (0.5, 1.0, 1.5, 1.5):
        supervisor.tick()
        until(supervisor.tick)
        (problem,) = supervisor.problems()
        assert problem.message == "learner ended with exit code 3: disk on fire"
        assert "learner.log" in problem.action
        clock.now += pause - 0.01
        supervisor.tick()
        assert supervisor.states() == {"learner": ChildState.WAITING}
        clock.now += 0.01
    supervisor.tick()
    assert supervisor.states() == {"learner": ChildState.RUNNING}
    assert supervisor.restarts() == {"learner": 4}


def test_a_death_is_shown_until_the_successor_has_lived_for_a_while(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    supervisor = supervise(made, clock, spec(tmp_path, "omega-0", OBEDIENT))
    supervisor.tick()
    descendants()[0].kill()
    until(supervisor.tick)
    clock.now = 1.0
    supervisor.tick()
    assert "was killed by SIGKILL" in supervisor.problems()[0].message
    clock.now += SHOWN_S
    assert supervisor.problems() == []


def test_a_healthy_life_makes_up_for_earlier_deaths(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    child = spec(tmp_path, "omega-0", OBEDIENT)
    supervisor = supervise(made, clock, child)
    for _ in range(5):
        supervisor.tick()
        descendants()[0].kill()
        until(supervisor.tick)
        clock.now += 10.0
    supervisor.tick()
    clock.now += HEALTHY_AFTER_S
    descendants()[0].kill()
    until(supervisor.tick)
    clock.now += 0.5
    supervisor.tick()
    assert supervisor.states() == {"omega-0": ChildState.RUNNING}


def test_pauses_double_up_to_their_limit():
    assert [back_off(n, 10.0) for n in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert back_off(100_000, 600.0) == 600.0


def test_a_setting_that_cannot_be_used_ends_it_all_with_the_childs_own_sentence(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    program = "import sys; print('metabonk: there is no game x.\\n  doom:basic'); sys.exit(2)"
    supervisor = supervise(made, clock, spec(tmp_path, "omega-0", program))
    supervisor.tick()
    with pytest.raises(SettingsError, match=r"^there is no game x\.\n  doom:basic$"):
        until(supervisor.tick)


def test_a_child_that_had_been_healthy_is_started_again_whatever_its_exit_code(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    program = """
import pathlib, sys, time
again = pathlib.Path(sys.argv[1], "again")
if again.exists(): sys.exit(2)
again.touch()
time.sleep(600)
"""
    supervisor = supervise(made, clock, spec(tmp_path, "omega-0", program))
    supervisor.tick()
    until((tmp_path / "again").exists)
    clock.now += HEALTHY_AFTER_S
    descendants()[0].kill()
    until(supervisor.tick)
    clock.now += 1.0
    supervisor.tick()
    until(supervisor.tick)
    assert "exit code 2" in supervisor.problems()[0].message


def test_a_child_sees_the_gpu_that_it_is_given_and_so_does_its_successor(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    tell = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], 'PATH' in os.environ)"
    child = replace(spec(tmp_path, "omega-1", tell), environment={"CUDA_VISIBLE_DEVICES": "GPU-1"})
    supervisor = supervise(made, clock, child)
    until(supervisor.tick)
    clock.now += 1.0
    supervisor.tick()
    until(supervisor.tick)
    assert text(child).split() == ["GPU-1", "True"] * 2


def test_a_program_that_cannot_be_started_is_a_problem_and_no_crash(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    child = ChildSpec("omega-0", (str(tmp_path / "missing"),), tmp_path / "omega-0.log")
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    assert "can't be started" in supervisor.problems()[0].message
    supervisor.stop()


def test_what_a_dead_child_leaves_is_ended_with_it(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    supervisor = supervise(made, clock, spec(tmp_path, "omega-0", CARELESS))
    supervisor.tick()
    until(lambda: len(family(tmp_path)) > 0 or supervisor.states()["omega-0"])
    until(supervisor.tick)
    assert "out of cheese" in supervisor.problems()[0].message
    until(lambda: not sleepers())
    assert supervisor.killed


def test_stopping_ends_the_obedient_quickly_and_counts_none_as_killed(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    children = [spec(tmp_path, f"omega-{i}", OBEDIENT) for i in range(3)]
    supervisor = supervise(made, clock, *children)
    for _ in children:
        supervisor.tick()
    until(lambda: all("ready" in text(child) for child in children))
    family_before = descendants()
    began = time.monotonic()
    supervisor.stop(grace_s=5.0)
    assert time.monotonic() - began < 2
    assert len(family_before) == 3
    assert all_gone(family_before)
    assert not supervisor.killed
    assert set(supervisor.states().values()) == {ChildState.STOPPED}
    assert supervisor.tick() == []
    assert descendants() == []


def test_stopping_leaves_nothing_of_a_family_that_ignores_sigterm(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    child = spec(tmp_path, "omega-0", STUBBORN)
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    until(lambda: "ready" in text(child))
    family_before = descendants()
    assert len(family_before) == 3
    began = time.monotonic()
    supervisor.stop(grace_s=0.5)
    assert time.monotonic() - began < 3
    assert all_gone(family_before)
    assert supervisor.killed


def test_every_start_and_death_is_told_with_the_process_that_leads_the_session(
    tmp_path: Path, clock: Clock
):
    told: list[dict[str, int]] = []
    supervisor = Supervisor(
        [spec(tmp_path, "omega-0", OBEDIENT)],
        stagger_s=0.0,
        restart_backoff_max_s=1.0,
        on_change=lambda running: told.append({n: p.pid for n, p in running.items()}),
        clock=clock,
    )
    supervisor.tick()
    pid = descendants()[0].pid
    supervisor.stop(grace_s=0.0)
    assert told == [{"omega-0": pid}, {}]


def test_children_of_a_killed_supervisor_end_by_themselves(tmp_path: Path):
    program = f"""
import sys, time
from pathlib import Path
from metabonk.orchestrator.supervisor import ChildSpec, Supervisor
child = '''
import os, signal, sys
from metabonk.system.process import die_with_parent
die_with_parent(int(sys.argv[1]))
print(os.getpid(), flush=True)
signal.pause()
'''
import os
command = (sys.executable, "-c", child, str(os.getpid()))
log = Path({str(tmp_path)!r}, "child.log")
supervisor = Supervisor([ChildSpec("c", command, log)], stagger_s=0, restart_backoff_max_s=1)
while True:
    supervisor.tick()
    time.sleep(0.01)
"""
    parent = psutil.Popen([sys.executable, "-c", program])
    log = tmp_path / "child.log"
    until(lambda: log.exists() and log.read_text().strip())
    child = psutil.Process(int(log.read_text()))
    parent.kill()
    parent.wait()
    assert all_gone([child])


def family(folder: Path) -> list[psutil.Process]:
    return [p for p in descendants() if str(folder) in p.cmdline()]


def sleepers() -> list[psutil.Process]:
    """Orphans of CARELESS, wherever they were adopted to."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if line[-1:] == ["import time; time.sleep(600)"] and process.info["status"] != "zombie":
            found.append(process)
    return found


def test_a_child_that_hangs_is_ended_says_where_it_was_and_starts_again(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    hanging = (
        "import faulthandler, time; faulthandler.enable(); print(1, flush=True); time.sleep(99)"
    )
    child = spec(tmp_path, "omega-0", hanging)
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    until(lambda: text(child))
    (process,) = descendants()
    deaths = []

    def ended() -> bool:
        supervisor.end("omega-0", "it has not answered for 15 s")
        deaths.extend(supervisor.tick())
        return bool(deaths)

    until(ended)
    (death,) = deaths
    assert (death.name, death.pid, death.crashed) == ("omega-0", process.pid, True)
    assert death.sentence == "omega-0 was ended, since it has not answered for 15 s"
    assert "Fatal Python error: Aborted" in text(child)
    clock.now = 1.0
    supervisor.tick()
    assert supervisor.states() == {"omega-0": ChildState.RUNNING}


def test_a_child_that_ignores_the_end_is_killed(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    deaf = (
        "import signal; signal.signal(signal.SIGABRT, signal.SIG_IGN); print(1, flush=True); "
        "signal.pause()"
    )
    child = spec(tmp_path, "omega-0", deaf)
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    until(lambda: text(child))
    supervisor.end("omega-0", "it hangs")
    time.sleep(0.1)
    assert supervisor.tick() == []
    clock.now += ABORT_GRACE_S
    supervisor.end("omega-0", "it hangs")
    deaths = []
    until(lambda: deaths.extend(supervisor.tick()) or deaths)
    assert deaths[0].code == -signal.SIGKILL


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "ended with exit code 1"),
        (0, "ended with exit code 0"),
        (-signal.SIGKILL, "was killed by SIGKILL (by somebody, or by the kernel"),
        (-signal.SIGSEGV, "was ended by SIGSEGV"),
        (-63, "was ended by signal 63"),
    ],
)
def test_the_exit_status_is_said_in_words(code: int, words: str):
    assert ExitReport("omega-0", code, "").sentence.startswith(f"omega-0 {words}")


def test_only_what_was_written_in_this_life_counts(tmp_path: Path):
    log = tmp_path / "omega-0.log"
    log.write_text("metabonk: an old mistake\n")
    start = log.stat().st_size
    with log.open("a") as file:
        file.write("new life\nlast line\n")
    assert words_in(log, start) == "last line"


def test_a_log_that_is_gone_says_nothing(tmp_path: Path):
    death = ExitReport("omega-0", 1, words_in(tmp_path / "none.log", 0))
    assert death.sentence == "omega-0 ended with exit code 1"


def test_a_huge_log_is_read_from_its_end(tmp_path: Path):
    log = tmp_path / "omega-0.log"
    log.write_bytes(b"\xff" * 3_000_000 + b"\nthe end\n")
    assert words_in(log, 0) == "the end"


def test_last_words_may_have_several_lines_and_come_after_a_traceback():
    output = "INFO x\nTraceback …\n  File\nmetabonk: no game 'x'. Games:\n  doom:basic\n"
    assert last_words(output) == "no game 'x'. Games:\n  doom:basic"
    assert last_words("metabonk: first line\n") == "first line"
    assert last_words("") == ""


CRASH = """INFO plays
Fatal Python error: Segmentation fault

Thread 0x01 (most recent call first):
  File "/threading.py", line 331 in wait

Current thread 0x02 (most recent call first):
  File "/av.py", line 77 in encode
  File "/streamer.py", line 9 in _run

Extension modules: numpy
"""


def test_a_crash_in_native_code_says_where():
    assert last_words(CRASH) == "Segmentation fault in /av.py:77 (encode)"
    assert last_words("Fatal Python error: Aborted\n") == "Aborted"


def test_a_child_that_was_ended_has_a_cause_and_counts_as_crashed():
    death = ExitReport("omega-0", -signal.SIGABRT, "Aborted", 7, "it has not answered for 15 s")
    assert death.sentence == "omega-0 was ended, since it has not answered for 15 s"
    assert death.crashed
    assert ExitReport("omega-0", -signal.SIGSEGV, "").crashed
    assert not ExitReport("omega-0", -signal.SIGKILL, "").crashed
    assert not ExitReport("omega-0", 1, "").crashed


def test_faulthandler_writes_what_is_understood():
    program = "import faulthandler, ctypes; faulthandler.enable(); ctypes.string_at(0)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert last_words(run.stderr).startswith("Segmentation fault in ")
    assert "string_at" in last_words(run.stderr)
