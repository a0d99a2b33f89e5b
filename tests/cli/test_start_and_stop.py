"""``metabonk start`` and ``stop`` as a user runs them, with stand-ins for the children."""

import os
import pty
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import psutil
import pytest

from metabonk.orchestrator.lock import read_record
from metabonk.orchestrator.process import GRACE_S
from metabonk.orchestrator.processes.supervisor import KILL_TIMEOUT_S
from metabonk.runs.layout import save_settings
from metabonk.settings import Settings, read_settings
from metabonk.system.log_files import MAX_BYTES, previous
from metabonk.system.process_ids import ProcessId, members, process_id
from tests.cli.conftest import TIMEOUT_S, Terminal
from tests.support import http
from tests.support.children import all_gone
from tests.support.go2rtc_stand_in import install
from tests.support.nvsim.driver import SimulatedDriver
from tests.support.processes import kill
from tests.support.waiting import GENEROUS_S, until


def have_ended(processes: list[psutil.Process]) -> bool:
    # The orchestrator stays a zombie until this test reaps it.
    return all_gone(processes[1:])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_whole_fleet_within_five_seconds(
    terminal: Terminal, number: signal.Signals
):
    began = time.monotonic()
    process = terminal.start("OBEDIENT", "--workers", "2")
    terminal.ready()
    # It starts within five seconds too, on a machine that has nothing else to do.
    limit_s = max(5.0, 2 * (time.monotonic() - began))
    processes = terminal.processes(process)
    assert len(processes) >= 4
    process.send_signal(number)
    assert process.wait(limit_s) == 0
    assert have_ended(processes)
    assert terminal.locks() == []
    assert terminal.text.splitlines()[-1].startswith("stopped; the run is in runs/")
    assert "Traceback" not in terminal.text


def test_children_that_ignore_sigterm_end_within_five_seconds_with_their_descendants(
    terminal: Terminal,
):
    process = terminal.start("STUBBORN", "--workers", "2")
    terminal.ready()
    processes = terminal.processes(process)
    assert len(processes) >= 1 + 3 * 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(GENEROUS_S) == 0
    assert GRACE_S + KILL_TIMEOUT_S < 5
    assert have_ended(processes)
    for port in terminal.ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_the_page_answers_before_any_child_is_up(terminal: Terminal):
    terminal.start("import time; time.sleep(600)")
    page = f"http://127.0.0.1:{terminal.ports[1]}"

    def answers() -> bool:
        try:
            return http.get(f"{page}/api/fleet").is_success
        except httpx.HTTPError:
            return False

    until("the page answers", answers)
    assert http.get(f"{page}/api/fleet").json()["workers"] == {}
    assert http.get(f"http://127.0.0.1:{terminal.ports[0]}/healthz").text == "ok\n"


def children_of(terminal: Terminal, process: subprocess.Popen[str]) -> dict[str, ProcessId]:
    record = read_record(terminal.locks()[0])
    assert record is not None and record.process.pid == process.pid
    return record.children


def test_a_second_start_is_rejected_and_changes_nothing(terminal: Terminal):
    first = terminal.start("OBEDIENT")
    terminal.ready()
    before = children_of(terminal, first)
    second = terminal.run("start")
    assert second.returncode == 1
    assert f"already running (pid {first.pid}, page http://localhost:" in second.stderr
    assert children_of(terminal, first) == before
    assert len(list((terminal.folder / "runs").iterdir())) == 1


def test_stop_ends_the_fleet_from_another_terminal_and_reports_it(terminal: Terminal):
    process = terminal.start("OBEDIENT")
    terminal.ready()
    processes = terminal.processes(process)
    stopped = terminal.run("stop", "--all", "--go2rtc")
    assert stopped.returncode == 0, stopped.stderr
    assert stopped.stdout.startswith(f"stopped the fleet (pid {process.pid}, page ")
    assert process.wait(GENEROUS_S) == 0
    assert have_ended(processes)
    assert terminal.run("stop").stdout == "nothing is running\n"


def test_stop_kills_a_hanging_fleet_with_all_its_processes(terminal: Terminal):
    process = terminal.start("STUBBORN")
    terminal.ready()
    processes = terminal.processes(process)
    process.send_signal(signal.SIGSTOP)
    stopped = terminal.run("stop")
    assert "did not stop in time and was killed" in stopped.stdout
    assert "ended leftovers of omega-1" in stopped.stdout
    process.wait(GENEROUS_S)
    assert have_ended(processes)
    assert terminal.locks() == []


def test_stop_ends_the_leftovers_of_a_killed_fleet(terminal: Terminal):
    process = terminal.start("STUBBORN")
    terminal.ready()
    processes = terminal.processes(process)
    process.kill()
    process.wait()
    stopped = terminal.run("stop", "--all")
    assert stopped.stdout.count("ended leftovers of") == 3
    assert have_ended(processes)
    assert terminal.run("stop", "--all").stdout == "nothing is running\n"


def test_a_fleet_whose_runtime_folder_was_removed_has_its_record_again(terminal: Terminal):
    process = terminal.start("OBEDIENT")
    terminal.ready()
    # At once: while its files are removed, the fleet may make new ones.
    shutil.rmtree((terminal.folder / "runtime").rename(terminal.folder / "removed"))
    terminal.ready()
    assert children_of(terminal, process).keys() == {"learner", "omega-0", "omega-1"}
    assert terminal.run("stop").stdout.startswith(f"stopped the fleet (pid {process.pid}, page ")
    assert process.wait(GENEROUS_S) == 0


def test_stop_finds_a_fleet_by_its_port_where_it_has_no_record(terminal: Terminal):
    process = terminal.start("OBEDIENT")
    terminal.ready()
    processes = terminal.processes(process)
    terminal.environment["METABONK_PATHS_RUNTIME"] = str(terminal.folder / "elsewhere")
    stopped = terminal.run("stop")
    assert stopped.stdout == f"stopped the fleet (pid {process.pid}), whose record was lost\n"
    assert process.wait(GENEROUS_S) == 0
    assert have_ended(processes)
    assert terminal.run("stop").stdout == "nothing is running\n"


def test_a_start_that_fails_leaves_nothing_of_a_killed_fleet(terminal: Terminal):
    process = terminal.start("STUBBORN")
    terminal.ready()
    left = [psutil.Process(child.pid) for child in children_of(terminal, process).values()]
    process.kill()
    process.wait()
    for child in left:
        child.suspend()
    with socket.create_server(("127.0.0.1", terminal.ports[3])):
        refused = terminal.run("start")
    assert refused.returncode == 1
    assert refused.stdout.count("note: ended leftovers of") == len(left) == 3
    assert have_ended(left)
    assert terminal.run("stop", "--all").stdout == "nothing is running\n"


def test_stop_does_not_touch_a_later_process_with_the_same_pid(terminal: Terminal):
    process = terminal.start("OBEDIENT")
    terminal.ready()
    (lock,) = terminal.locks()
    leader = process_id(process.pid)
    assert leader is not None
    lock.write_text(lock.read_text().replace(str(leader.started), str(leader.started - 1)))
    refused = terminal.run("stop", "--all")
    assert refused.returncode == 1
    assert "is not known to be a fleet" in refused.stderr
    assert process.poll() is None


def test_a_game_that_only_a_worker_knows_not_to_exist_stops_the_start_with_its_message(
    terminal: Terminal,
):
    program = """
import sys, time
if sys.argv[-1] != "omega-0": time.sleep(600)
print("metabonk: unknown game 'gym:mine:x'. Games on this machine:\\n  doom:basic")
sys.exit(2)
"""
    process = terminal.start(program, "--game", "gym:mine:x")
    assert process.wait(TIMEOUT_S) == 2
    assert "metabonk: unknown game 'gym:mine:x'. Games" in terminal.text
    assert terminal.text.rstrip().endswith("doom:basic")
    assert "Traceback" not in terminal.text
    assert terminal.locks() == []
    assert list((terminal.folder / "runs").iterdir()) == []
    assert has_no_children(process.pid)


def has_no_children(pid: int) -> bool:
    return pid not in [process.info["ppid"] for process in psutil.process_iter(["ppid"])]


def test_a_port_in_use_stops_the_start_before_a_run_is_created(terminal: Terminal):
    with socket.create_server(("127.0.0.1", terminal.ports[3])):
        refused = terminal.run("start")
    assert refused.returncode == 1
    assert f"port {terminal.ports[3]}, which omega-0 needs, is in use" in refused.stderr
    assert not (terminal.folder / "runs").exists()
    assert terminal.locks() == []


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("--workers", "two"), "workers is 'two'", 2),
        (
            ("--games-per-worker", "65"),
            "worker.games_per_worker is '65'",
            2,
        ),
        (("--seed", "-1"), "learning.seed is '-1'", 2),
        (("--env-arg", "slippery"), "must be KEY=VALUE, such as is_slippery=false", 2),
        (("--mode", "watch"), "invalid choice: 'watch'", 2),
        (("--host", "my.house"), "0.0.0.0 for all", 2),
        (("--stream-profile", "nine"), "there is no such profile", 2),
        (("--resume", "nine"), "there is no run 'nine' in runs", 1),
        (("--mode", "play"), "there is no run with a checkpoint", 1),
    ],
)
def test_an_invalid_option_is_an_error_without_a_traceback(
    terminal: Terminal, arguments: tuple[str, ...], message: str, code: int
):
    refused = terminal.run("start", *arguments)
    assert refused.returncode == code
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_unusable_log_folder_is_reported_with_its_setting(terminal: Terminal):
    (terminal.folder / "logs").write_text("a file")
    refused = terminal.run("start")
    assert refused.returncode == 1
    assert "METABONK_PATHS_LOGS" in refused.stderr


def test_go2rtc_runs_with_the_fleet_is_restarted_and_ends_with_it(terminal: Terminal):
    terminal.environment["METABONK_GO2RTC_PATH"] = str(install(terminal.folder))
    process = terminal.start("OBEDIENT", "--go2rtc")
    terminal.ready(("learner", "omega-0", "omega-1", "go2rtc"))
    until("the terminal shows it", lambda: "go2rtc: running" in terminal.text)
    api = f"http://127.0.0.1:{terminal.environment['METABONK_PORTS_GO2RTC']}/api/streams"
    assert http.get(api).json() == {
        "program": f"http://127.0.0.1:{terminal.ports[0]}/program.ts?wait=1",
        **{
            f"omega-{i}": f"http://127.0.0.1:{terminal.ports[3] + i}/stream.ts?wait=1"
            for i in range(2)
        },
    }
    page = f"http://127.0.0.1:{terminal.ports[1]}/api/fleet"
    address = api.removesuffix("/api/streams")
    until("the page has the address", lambda: http.get(page).json()["go2rtc"] == address)
    first = children_of(terminal, process)["go2rtc"]
    os.kill(first.pid, signal.SIGKILL)
    until("go2rtc restarts", lambda: children_of(terminal, process).get("go2rtc", first) != first)
    restarted = children_of(terminal, process)["go2rtc"]
    stopped = terminal.run("stop", "--all", "--go2rtc").stdout
    assert f"stopped its go2rtc (pid {restarted.pid})" in stopped
    assert process.wait(GENEROUS_S) == 0
    assert not psutil.pid_exists(restarted.pid)
    assert not list((terminal.folder / "runtime").glob("*.sock"))


def test_go2rtc_ends_with_a_killed_fleet(terminal: Terminal):
    terminal.environment["METABONK_GO2RTC_PATH"] = str(install(terminal.folder))
    process = terminal.start("OBEDIENT", "--go2rtc")
    terminal.ready(("learner", "omega-0", "omega-1", "go2rtc"))
    go2rtc = psutil.Process(children_of(terminal, process)["go2rtc"].pid)
    others = [member for member in terminal.processes(process) if member != go2rtc]
    kill(others)
    process.wait()
    until("go2rtc has ended", lambda: not go2rtc.is_running())


def test_a_broken_go2rtc_does_not_stop_the_fleet(terminal: Terminal):
    broken = "#!/bin/sh\necho panic >&2\nexit 2\n"
    terminal.environment["METABONK_GO2RTC_PATH"] = str(install(terminal.folder, broken))
    process = terminal.start("OBEDIENT", "--go2rtc")
    terminal.ready()
    until("the problem is shown", lambda: "problem: go2rtc" in terminal.text)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(GENEROUS_S) == 0


def test_a_missing_go2rtc_and_unknown_variables_are_noted(terminal: Terminal):
    terminal.environment["METABONK_WORKERZ"] = "3"
    terminal.environment["METABONK_GO2RTC_PATH"] = str(terminal.folder / "nowhere")
    process = terminal.start("OBEDIENT", "--go2rtc")
    terminal.ready()
    process.send_signal(signal.SIGINT)
    process.wait(GENEROUS_S)
    assert "go2rtc is not used: METABONK_GO2RTC_PATH is" in terminal.text
    assert "the built-in WebRTC serves instead" in terminal.text
    assert "did you mean METABONK_WORKERS?" in terminal.text


def test_problems_of_the_machine_are_on_the_page_and_the_terminal(
    terminal: Terminal,
):
    driver = SimulatedDriver(terminal.folder / "driver", driver="550.54.14")
    terminal.environment |= driver.environment
    process = terminal.start("OBEDIENT")
    terminal.ready()
    page = f"http://127.0.0.1:{terminal.ports[1]}/api/fleet"
    message = "driver 550.54.14 of GPU 0"
    until("the page shows it", lambda: message in str(http.get(page).json()["problems"]))
    until("the terminal shows it", lambda: f"problem: {message}" in terminal.text)
    assert f"Problem: {message}" in terminal.run("nvenc", "status").stdout
    driver.set(driver="590.44.01")
    assert "Problem:" not in terminal.run("nvenc", "status").stdout
    process.send_signal(signal.SIGINT)
    assert process.wait(GENEROUS_S) == 0


def test_a_missing_nvenc_library_is_reported(terminal: Terminal):
    driver = SimulatedDriver(terminal.folder / "driver")
    part = terminal.folder / "libraries"
    part.mkdir()
    for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
        (part / name).symlink_to(Path(driver.environment["LD_LIBRARY_PATH"]) / name)
    terminal.environment |= {**driver.environment, "LD_LIBRARY_PATH": str(part)}
    output = terminal.run("nvenc", "status").stdout
    assert "can't encode: libnvidia-encode.so.1 is missing" in output


def test_a_run_is_resumed_only_with_its_own_game(terminal: Terminal):
    process = terminal.start("OBEDIENT", "--game", "doom:basic")
    terminal.ready()
    process.send_signal(signal.SIGINT)
    process.wait(GENEROUS_S)
    (run_dir,) = (terminal.folder / "runs").iterdir()
    other = terminal.run("start", "--resume", run_dir.name, "--game", "doom:my_way_home")
    assert "was trained on doom:basic and can't resume as doom:my_way_home" in other.stderr
    for log in (terminal.folder / "logs").iterdir():
        log.unlink()
    process = terminal.start("OBEDIENT", "--resume", run_dir.name)
    terminal.ready()
    fleet = http.get(f"http://127.0.0.1:{terminal.ports[1]}/api/fleet").json()
    assert (fleet["run"], fleet["game"]) == (run_dir.name, "doom:basic")
    process.send_signal(signal.SIGINT)
    process.wait(GENEROUS_S)
    assert list((terminal.folder / "runs").iterdir()) == [run_dir]


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        ((), "run frozen keeps size=8, slow=true; only --env-arg gives"),
        (("--env-arg", "size=2"), "was started with size=8, slow=true and resumes with size=2"),
    ],
)
def test_a_resumed_run_keeps_the_arguments_of_its_environment(
    terminal: Terminal, arguments: tuple[str, ...], note: str
):
    run_dir = terminal.folder / "runs" / "frozen"
    run_dir.mkdir(parents=True)
    trained = {"game": "gym:FrozenLake-v1", "learning": {"env_args": {"size": 8, "slow": True}}}
    save_settings(Settings.model_validate(trained), run_dir)
    terminal.environment["METABONK_LEARNING_ENV_ARGS"] = "size=4"
    (terminal.folder / "logs").write_text("a file, so that the start ends after its notes")
    refused = terminal.run("start", "--resume", "frozen", *arguments)
    assert "note: run frozen" in refused.stdout
    assert note in refused.stdout


def test_a_resumed_run_keeps_what_it_was_trained_with_unless_told_otherwise(terminal: Terminal):
    run_dir = terminal.folder / "runs" / "trained"
    run_dir.mkdir(parents=True)
    trained = {"game": "doom:basic", "learning": {"seed": 5, "epochs": 7, "gamma": 0.9}}
    file = save_settings(Settings.model_validate(trained), run_dir)
    terminal.environment["METABONK_LEARNING_GAMMA"] = "0.5"
    process = terminal.start("OBEDIENT", "--resume", "trained")
    terminal.ready()
    process.send_signal(signal.SIGINT)
    process.wait(GENEROUS_S)
    learning = read_settings(file).learning
    assert learning.model_fields_set == {"seed", "epochs", "gamma"}
    assert (learning.seed, learning.epochs, learning.gamma) == (5, 7, 0.5)


def test_a_running_fleet_keeps_its_run_and_bounds_its_logs(terminal: Terminal):
    log = terminal.folder / "logs" / "omega-0.log"
    log.parent.mkdir()
    with log.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    process = terminal.start("OBEDIENT")
    # What omega-0 says may have gone with the log's first part.
    terminal.ready(("learner", "omega-1"))
    until("the log starts again", lambda: log.stat().st_size <= MAX_BYTES)
    assert previous(log).stat().st_size >= MAX_BYTES
    assert terminal.run("runs", "prune", "--keep", "0", "--yes").stdout == "nothing to delete\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(GENEROUS_S) == 0
    assert "deleted" in terminal.run("runs", "prune", "--keep", "0", "--yes").stdout


def test_a_terminal_shows_a_live_table_and_closing_it_stops_the_fleet(terminal: Terminal):
    master, slave = pty.openpty()
    terminal.environment |= {"COLUMNS": "120", "LINES": "40", "TERM": "xterm-256color"}
    process = terminal.start("OBEDIENT", stdout=slave)
    os.close(slave)
    screen = b""
    while b"omega-1" not in screen:
        screen += os.read(master, 65_536)
    for message in (b"page", b"worker", b"steps/s", b"backend", b"omega-0"):
        assert message in screen
    processes = terminal.processes(process)
    os.close(master)
    process.send_signal(signal.SIGHUP)
    assert process.wait(GENEROUS_S) == 0
    assert have_ended(processes)
    log = (terminal.folder / "logs" / "orchestrator.log").read_text()
    assert "Traceback" not in log
    assert log.rstrip().endswith("stopped")


def test_a_terminal_that_nobody_reads_stops_neither_supervision_nor_the_end(terminal: Terminal):
    master, slave = pty.openpty()
    # A table on 500 columns fills the terminal's few kilobytes at once.
    terminal.environment |= {"COLUMNS": "500", "LINES": "200", "TERM": "xterm-256color"}
    process = terminal.start("OBEDIENT", stdout=slave)
    os.close(slave)
    terminal.ready()
    until("its thread hangs in a write", lambda: is_writing(process))
    first = children_of(terminal, process)["omega-0"]
    os.kill(first.pid, signal.SIGKILL)
    until(
        "omega-0 restarts",
        lambda: children_of(terminal, process).get("omega-0", first) != first,
    )
    processes = terminal.processes(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(GENEROUS_S) == 0
    os.close(master)
    assert have_ended(processes)


def is_writing(process: subprocess.Popen[str]) -> bool:
    """Tell whether a thread of the process waits in write(2)."""
    calls = [task.read_text() for task in Path(f"/proc/{process.pid}/task").glob("*/syscall")]
    # Its numbers on x86-64 and on arm64; threads that run are "running".
    return any(call.split()[0] in ("1", "64") for call in calls)


def test_the_lock_records_every_child(terminal: Terminal):
    process = terminal.start("OBEDIENT")
    terminal.ready()
    (lock,) = terminal.locks()
    record = read_record(lock)
    assert record is not None
    assert record.process == process_id(process.pid)
    assert record.children.keys() == {"learner", "omega-0", "omega-1"}
    processes = {member.pid for member in terminal.processes(process)}
    for child in record.children.values():
        assert child.pid in processes
        assert members(child) == [child]


def test_beyond_loopback_only_one_port_is_open_and_it_requires_the_token(terminal: Terminal):
    process = terminal.start("OBEDIENT", "--host", "0.0.0.0")
    terminal.ready()
    address, token = terminal.address().split("/?token=")
    assert len(token) >= 43, "256 bits"
    page = f"http://127.0.0.1:{terminal.ports[1]}"
    assert http.get(f"{page}/api/fleet").status_code == 401
    authorized = http.get(f"{page}/api/fleet", headers={"Authorization": f"Bearer {token}"})
    assert authorized.json()["workers"] == {}
    assert http.get(f"{address}/api/fleet?token={token}").is_success
    listening = {
        (each.laddr.ip, each.laddr.port)
        for each in psutil.Process(process.pid).net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }
    assert listening == {("0.0.0.0", terminal.ports[1]), ("127.0.0.1", terminal.ports[0])}
    (run_dir,) = (terminal.folder / "runs").iterdir()
    files = [*(terminal.folder / "logs").iterdir(), *terminal.locks(), *run_dir.iterdir()]
    assert not [file for file in files if token.encode() in file.read_bytes()]
    children = children_of(terminal, process).values()
    others = [psutil.Process(child.pid).cmdline() for child in (process_id(process.pid), *children)]
    assert token not in str(others)
    process.send_signal(signal.SIGINT)
    assert process.wait(GENEROUS_S) == 0


def test_the_token_can_be_configured(terminal: Terminal):
    terminal.environment["METABONK_ACCESS_TOKEN"] = "a-token-that-nobody-guesses"
    process = terminal.start("OBEDIENT", "--host", "0.0.0.0")
    terminal.ready()
    assert terminal.address().endswith("/?token=a-token-that-nobody-guesses")
    process.send_signal(signal.SIGINT)
    assert process.wait(GENEROUS_S) == 0
