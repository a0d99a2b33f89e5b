"""With real processes: what starts, why it ended, and that nothing outlives a stop."""

import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from metabonk.errors import SettingsError
from metabonk.orchestrator.processes.exit_report import ExitReport
from metabonk.orchestrator.processes.supervisor import (
    ABORT_GRACE_S,
    HEALTHY_AFTER_S,
    REMOVAL_GRACE_S,
    SHOWN_S,
    ChildSpec,
    ChildState,
    Supervisor,
    back_off,
)
from metabonk.system.fork_server import ForkServer
from tests.support.children import (
    CARELESS,
    OBEDIENT,
    STUBBORN,
    all_gone,
    descendants,
    spec,
    text,
)
from tests.support.clock import Clock
from tests.support.processes import with_word
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("_only_own_descendants")


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


def sleepers(folder: Path) -> list[psutil.Process]:
    """Return the orphans of CARELESS, whatever process adopted them."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if line[-1:] == [str(folder)] and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def test_children_start_one_by_one_staggered_and_in_order(
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


def test_a_child_that_starts_quickly_waits_for_no_other(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    quick = [
        replace(spec(tmp_path, name, OBEDIENT), starts_quickly=True) for name in ("one", "two")
    ]
    slow = [spec(tmp_path, f"omega-{i}", OBEDIENT) for i in range(2)]
    supervisor = supervise(made, clock, *slow, stagger_s=60.0)
    supervisor.tick()
    for each in quick:
        supervisor.add(each)
        supervisor.tick()
    running = [name for name, s in supervisor.states().items() if s is ChildState.RUNNING]
    assert running == ["omega-0", "one", "two"]


def test_a_removed_child_ends_and_is_forgotten(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    supervisor = supervise(made, clock, spec(tmp_path, "stays", OBEDIENT))
    supervisor.add(spec(tmp_path, "goes", OBEDIENT))
    for _ in range(2):
        supervisor.tick()
    until("it is ready", lambda: "ready" in text(spec(tmp_path, "goes", OBEDIENT)))
    supervisor.remove("goes")
    assert "goes" in supervisor.states(), "it is still ending"

    def has_gone() -> bool:
        assert supervisor.tick() == []
        return list(supervisor.states()) == ["stays"]

    until("it has ended", has_gone)
    assert list(supervisor.running()) == ["stays"]
    assert supervisor.problems() == []
    assert len(descendants()) == 1


def test_a_removed_child_that_does_not_end_is_killed_with_what_it_started(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    stubborn = spec(tmp_path, "goes", STUBBORN)
    supervisor = supervise(made, clock, stubborn)
    supervisor.tick()
    until("it is ready", lambda: "ready" in text(stubborn))
    family = descendants()
    assert len(family) == 3
    supervisor.remove("goes")
    supervisor.tick()
    assert supervisor.running()
    clock.now += REMOVAL_GRACE_S
    until("it has ended", lambda: supervisor.tick() == [] and not supervisor.states())
    assert all_gone(family)


def test_a_child_that_was_removed_before_it_started_never_does(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    supervisor = supervise(made, clock)
    supervisor.add(spec(tmp_path, "goes", OBEDIENT))
    supervisor.remove("goes")
    supervisor.tick()
    assert supervisor.states() == {}
    assert descendants() == []


def test_a_child_that_may_end_is_no_failure_and_starts_again(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    child = replace(spec(tmp_path, "guest", "print('done')"), may_end=True)
    supervisor = supervise(made, clock, child)
    for _ in range(3):
        supervisor.tick()
        until("it ends", lambda: supervisor.tick() == [] and not supervisor.running())
        assert supervisor.problems() == []
        clock.now += 0.5
    assert text(child).split() == ["done"] * 3
    failing = replace(spec(tmp_path, "fails", "raise SystemExit(3)"), may_end=True)
    supervisor.add(failing)
    supervisor.tick()
    until("it is reported", supervisor.tick)
    assert supervisor.problems()


def test_output_is_appended_to_the_log(tmp_path: Path, made: list[Supervisor], clock: Clock):
    child = spec(tmp_path, "omega-0", "import sys; print('out'); print('err', file=sys.stderr)")
    child.log.parent.mkdir()
    child.log.write_text("earlier\n")
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    until("the child ends", supervisor.tick)
    assert sorted(text(child).split()) == ["earlier", "err", "out"]


def test_each_child_leads_a_session_of_its_own(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    supervisor = supervise(made, clock, spec(tmp_path, "omega-0", OBEDIENT))
    supervisor.tick()
    (process,) = descendants()
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    assert [int(fields[2]), int(fields[3])] == [process.pid, process.pid]


def test_a_dead_child_restarts_after_growing_pauses_and_its_error_is_a_problem(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    child = spec(tmp_path, "learner", "print('disk on fire'); raise SystemExit(3)")
    supervisor = supervise(made, clock, child, restart_backoff_max_s=1.5)
    for pause in (0.5, 1.0, 1.5, 1.5):
        supervisor.tick()
        until("the child ends", supervisor.tick)
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


def test_a_death_is_shown_until_the_next_process_has_run_for_a_while(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    supervisor = supervise(made, clock, spec(tmp_path, "omega-0", OBEDIENT))
    supervisor.tick()
    descendants()[0].kill()
    until("the child ends", supervisor.tick)
    clock.now = 1.0
    supervisor.tick()
    assert "was killed by SIGKILL" in supervisor.problems()[0].message
    clock.now += SHOWN_S
    assert supervisor.problems() == []


def test_a_healthy_run_resets_the_back_off(tmp_path: Path, made: list[Supervisor], clock: Clock):
    child = spec(tmp_path, "omega-0", OBEDIENT)
    supervisor = supervise(made, clock, child)
    for _ in range(5):
        supervisor.tick()
        descendants()[0].kill()
        until("the child ends", supervisor.tick)
        clock.now += 10.0
    supervisor.tick()
    clock.now += HEALTHY_AFTER_S
    descendants()[0].kill()
    until("the child ends", supervisor.tick)
    clock.now += 0.5
    supervisor.tick()
    assert supervisor.states() == {"omega-0": ChildState.RUNNING}


def test_pauses_double_up_to_the_maximum():
    assert [back_off(n, 10.0) for n in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert back_off(100_000, 600.0) == 600.0


def test_an_unusable_setting_ends_the_fleet_with_the_childs_own_message(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    program = "import sys; print('metabonk: there is no game x.\\n  doom:basic'); sys.exit(2)"
    supervisor = supervise(made, clock, spec(tmp_path, "omega-0", program))
    supervisor.tick()
    with pytest.raises(SettingsError, match=r"^there is no game x\.\n  doom:basic$"):
        until("the child ends", supervisor.tick)


def test_a_child_that_was_healthy_restarts_whatever_its_exit_code(
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
    until("the child has started", (tmp_path / "again").exists)
    clock.now += HEALTHY_AFTER_S
    descendants()[0].kill()
    until("the child ends", supervisor.tick)
    clock.now += 1.0
    supervisor.tick()
    until("the child ends", supervisor.tick)
    assert "exit code 2" in supervisor.problems()[0].message


def test_a_child_sees_the_gpu_it_is_given_also_after_a_restart(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    tell = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], 'PATH' in os.environ)"
    child = replace(spec(tmp_path, "omega-1", tell), environment={"CUDA_VISIBLE_DEVICES": "GPU-1"})
    supervisor = supervise(made, clock, child)
    until("the child ends", supervisor.tick)
    clock.now += 1.0
    supervisor.tick()
    until("the child ends", supervisor.tick)
    assert text(child).split() == ["GPU-1", "True"] * 2


def test_a_program_that_cannot_be_started_is_a_problem_not_a_crash(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    missing = (str(tmp_path / "missing"),)
    child = ChildSpec("omega-0", lambda: missing, tmp_path / "omega-0.log")
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    assert "can't be started" in supervisor.problems()[0].message
    supervisor.stop()


def test_what_a_dead_child_leaves_behind_is_killed(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    supervisor = supervise(made, clock, spec(tmp_path, "omega-0", CARELESS))
    supervisor.tick()
    until("the child ends", supervisor.tick)
    assert "killed by SIGKILL" in supervisor.problems()[0].message
    until("its own child ends", lambda: not sleepers(tmp_path))
    assert supervisor.killed


def test_stopping_obedient_children_is_quick_and_kills_none(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    children = [spec(tmp_path, f"omega-{i}", OBEDIENT) for i in range(3)]
    supervisor = supervise(made, clock, *children)
    for _ in children:
        supervisor.tick()
    until("all are ready", lambda: all("ready" in text(child) for child in children))
    family_before = descendants()
    began = time.monotonic()
    supervisor.stop(grace_s=10.0)
    assert time.monotonic() - began < 10.0
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
    until("the child is ready", lambda: "ready" in text(child))
    family_before = descendants()
    assert len(family_before) == 3
    began = time.monotonic()
    supervisor.stop(grace_s=0.5)
    assert time.monotonic() - began < 10.0
    assert all_gone(family_before)
    assert supervisor.killed


def test_stopped_children_and_their_games_end_by_themselves(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    with_game = """
import signal, subprocess, sys
game = subprocess.Popen(["sleep", "600"], process_group=0)
def end(*_):
    game.terminate()
    game.wait()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: signal.pause()
"""
    child = spec(tmp_path, "omega-0", with_game)
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    until("the child is ready", lambda: "ready" in text(child))
    family_before = descendants()
    assert len(family_before) == 2
    for process in family_before:
        process.suspend()
    began = time.monotonic()
    supervisor.stop(grace_s=10.0)
    assert time.monotonic() - began < 10.0
    assert all_gone(family_before)
    assert not supervisor.killed, "they ended by themselves"


def test_children_known_to_hang_are_killed_at_once(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    deaf = (
        "import signal; signal.signal(signal.SIGABRT, signal.SIG_IGN); "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); signal.pause()"
    )
    child = spec(tmp_path, "omega-0", deaf)
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    until("the child has started", lambda: text(child))
    supervisor.stop_hung(supervisor.running()["omega-0"], "it hangs", is_silent=True)
    began = time.monotonic()
    supervisor.stop(grace_s=10.0)
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
def test_an_error_of_the_system_defers_supervision_and_is_a_problem_meanwhile(
    tmp_path: Path,
    made: list[Supervisor],
    clock: Clock,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
):
    supervisor = supervise(made, clock, *(spec(tmp_path, f"omega-{i}", OBEDIENT) for i in range(2)))
    supervisor.tick()
    supervisor.tick()
    descendants()[0].kill()

    def fail() -> list[int]:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(psutil, "pids", fail)
        until("it is a problem", lambda: supervisor.tick() or supervisor.problems())
        (problem,) = supervisor.problems()
        assert "the supervision of omega-" in problem.message
        assert os.strerror(number) in problem.message
    exits = until("it is reaped", supervisor.tick)
    assert [report.code for report in exits] == [-signal.SIGKILL]
    assert "was killed" in supervisor.problems()[0].message


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    with ExitStack() as taken:
        taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while True:
            try:
                taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        yield


def test_without_descriptors_nothing_starts_and_everything_does_later(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    child = replace(spec(tmp_path, "omega-0", OBEDIENT), forked=True)
    server = ForkServer((sys.executable, "-c", "pass"), tmp_path / "fork-server.log")
    supervisor = Supervisor(
        [child], stagger_s=0.0, restart_backoff_max_s=1.0, fork_server=server, clock=clock
    )
    made.append(supervisor)
    with no_descriptors_left():
        supervisor.tick()
        problems = supervisor.problems()
    assert "Too many open files" in problems[0].message
    clock.now += 1.0
    until("it runs", lambda: supervisor.tick() or supervisor.running())


def test_every_start_and_exit_is_reported_with_the_leader_of_the_session(
    tmp_path: Path, clock: Clock
):
    reported: list[dict[str, int]] = []
    supervisor = Supervisor(
        [spec(tmp_path, "omega-0", OBEDIENT)],
        stagger_s=0.0,
        restart_backoff_max_s=1.0,
        on_change=lambda running: reported.append({n: p.pid for n, p in running.items()}),
        clock=clock,
    )
    supervisor.tick()
    pid = descendants()[0].pid
    supervisor.stop(grace_s=0.0)
    assert reported == [{"omega-0": pid}, {}]


def test_the_children_of_a_killed_supervisor_end_by_themselves(tmp_path: Path):
    program = f"""
import sys, time
from pathlib import Path
from metabonk.orchestrator.processes.supervisor import ChildSpec, Supervisor
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
child = ChildSpec("c", lambda: command, log)
supervisor = Supervisor([child], stagger_s=0, restart_backoff_max_s=1)
while True:
    supervisor.tick()
    time.sleep(0.01)
"""
    parent = psutil.Popen([sys.executable, "-c", program])
    log = tmp_path / "child.log"
    until("the child has started", lambda: log.exists() and log.read_text().strip())
    child = psutil.Process(int(log.read_text()))
    parent.kill()
    parent.wait()
    assert all_gone([child])


def test_a_child_that_hangs_is_stopped_logs_its_stack_and_restarts(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    hanging = (
        "import faulthandler, time; faulthandler.enable(); print(1, flush=True); time.sleep(99)"
    )
    child = spec(tmp_path, "omega-0", hanging)
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    until("the child has started", lambda: text(child))
    (process,) = descendants()
    exits: list[ExitReport] = []

    supervisor.stop_hung(supervisor.running()["omega-0"], "it hangs", is_silent=True)
    until("it ends", lambda: exits.extend(supervisor.tick()) or exits)
    (report,) = exits
    assert (report.name, report.pid, report.crashed) == ("omega-0", process.pid, True)
    assert report.message == "omega-0 was stopped because it hangs"
    assert "Fatal Python error: Aborted" in text(child)
    clock.now = 1.0
    supervisor.tick()
    assert supervisor.states() == {"omega-0": ChildState.RUNNING}


def test_a_stopped_child_that_hangs_logs_its_stack_too(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    hanging = (
        "import faulthandler, signal; faulthandler.enable(); print(1, flush=True); signal.pause()"
    )
    child = spec(tmp_path, "omega-0", hanging)
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    until("the child has started", lambda: text(child))
    descendants()[0].suspend()
    supervisor.stop_hung(supervisor.running()["omega-0"], "it hangs", is_silent=True)
    until("it ends", supervisor.tick)
    assert "Fatal Python error: Aborted" in text(child)


def test_a_child_that_ignores_sigabrt_is_killed_although_the_verdict_is_not_repeated(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    deaf = (
        "import signal; signal.signal(signal.SIGABRT, signal.SIG_IGN); print(1, flush=True); "
        "signal.pause()"
    )
    child = spec(tmp_path, "omega-0", deaf)
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    until("the child has started", lambda: text(child))
    supervisor.stop_hung(supervisor.running()["omega-0"], "it hangs", is_silent=False)
    time.sleep(0.1)
    assert supervisor.tick() == []
    clock.now += ABORT_GRACE_S
    exits: list[ExitReport] = []
    until("it ends", lambda: exits.extend(supervisor.tick()) or exits)
    assert exits[0].code == -signal.SIGKILL
    assert not exits[0].crashed, "it still answered"


def test_a_verdict_on_an_earlier_process_does_not_touch_the_next(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    child = spec(tmp_path, "omega-0", OBEDIENT)
    supervisor = supervise(made, clock, child)
    supervisor.tick()
    hung = supervisor.running()["omega-0"]
    supervisor.stop_hung(hung, "it hangs", is_silent=True)
    until("it ends", supervisor.tick)
    # The first one may have been quicker than the verdict.
    before = text(child).count("ready")
    clock.now += 1.0
    supervisor.tick()
    supervisor.stop_hung(hung, "it hangs", is_silent=True)
    until("the next is up", lambda: text(child).count("ready") > before)
    assert supervisor.tick() == []


def test_an_error_from_an_earlier_process_is_not_reported_again(
    tmp_path: Path, made: list[Supervisor], clock: Clock
):
    child = spec(tmp_path, "omega-0", "print('new life'); print('last line')")
    child.log.parent.mkdir()
    child.log.write_text("metabonk: an old error\n")
    supervisor = supervise(made, clock, child)
    until("the child ends", supervisor.tick)
    assert supervisor.problems()[0].message == "omega-0 ended with exit code 0: last line"


def test_the_command_is_made_at_each_start(tmp_path: Path, made: list[Supervisor], clock: Clock):
    starts = iter(range(1, 9))
    child = replace(
        spec(tmp_path, "omega-0", ""),
        command=lambda: (sys.executable, "-c", f"print('start', {next(starts)})"),
    )
    supervisor = supervise(made, clock, child)
    until("the child ends", supervisor.tick)
    clock.now += 1.0
    supervisor.tick()
    until("it ends again", supervisor.tick)
    assert text(child).splitlines() == ["start 1", "start 2"]


def test_forked_children_are_restarted_and_stopped_as_others_are(tmp_path: Path):
    before = set(psutil.Process().children())
    command = (sys.executable, "-m", "tests.support.forked", OBEDIENT)
    child = ChildSpec("omega-0", lambda: command, tmp_path / "omega-0.log", forked=True)
    server = (
        sys.executable,
        "-m",
        "metabonk.cli.main",
        "fork-server",
        "--parent",
        str(os.getpid()),
    )
    supervisor = Supervisor(
        [child],
        stagger_s=0.0,
        restart_backoff_max_s=0.1,
        fork_server=ForkServer(server, tmp_path / "fork-server.log"),
    )

    def is_ready(starts: int) -> bool:
        supervisor.tick()
        return child.log.exists() and child.log.read_text().count("ready") == starts

    try:
        until("it runs", lambda: is_ready(1))
        (process,) = with_word(descendants(), OBEDIENT)
        process.kill()
        until("it runs again", lambda: is_ready(2))
        assert supervisor.restarts() == {"omega-0": 1}
        assert "killed" in supervisor.problems()[0].message
    finally:
        supervisor.stop()
    assert set(psutil.Process().children()) <= before
