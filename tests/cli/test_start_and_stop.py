"""``metabonk start`` and ``stop`` as a user meets them, with stand-ins for the children."""

import os
import pty
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import psutil
import pytest

from metabonk.orchestrator.lock import read_record
from metabonk.system.process_ids import ProcessId, members, process_id
from tests.cli.conftest import Terminal
from tests.support.children import all_gone
from tests.support.go2rtc_stand_in import install
from tests.support.nvsim.driver import SimulatedDriver
from tests.support.processes import kill
from tests.support.waiting import until


def gone(family: list[psutil.Process]) -> bool:
    # The orchestrator's own exit status is still to be taken by this test.
    return all_gone(family[1:])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_in_five_seconds_and_says_so(
    terminal: Terminal, number: signal.Signals
):
    process = terminal.start("OBEDIENT", "--workers", "2")
    terminal.ready()
    family = terminal.family(process)
    assert len(family) >= 4
    process.send_signal(number)
    assert process.wait(5) == 0
    assert gone(family)
    assert terminal.locks() == []
    assert terminal.text.splitlines()[-1].startswith("stopped; the run is in runs/")
    assert "Traceback" not in terminal.text


def test_children_that_ignore_sigterm_and_their_own_children_end_in_five_seconds_too(
    terminal: Terminal,
):
    process = terminal.start("STUBBORN", "--workers", "2")
    terminal.ready()
    family = terminal.family(process)
    assert len(family) >= 1 + 3 * 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(5.5) == 0
    assert gone(family)
    for port in terminal.ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_the_page_answers_before_any_child_is_up(terminal: Terminal):
    began = time.monotonic()
    terminal.start("import time; time.sleep(600)")
    page = f"http://127.0.0.1:{terminal.ports[1]}"

    def answers() -> bool:
        try:
            return httpx.get(f"{page}/api/fleet").is_success
        except httpx.HTTPError:
            return False

    until("the page answers", answers, 10)
    assert time.monotonic() - began < 10
    assert httpx.get(f"{page}/api/fleet").json()["workers"] == {}
    assert httpx.get(f"http://127.0.0.1:{terminal.ports[0]}/healthz").text == "ok\n"


def children_of(terminal: Terminal, process: subprocess.Popen[str]) -> dict[str, ProcessId]:
    record = read_record(terminal.locks()[0])
    assert record is not None and record.process.pid == process.pid
    return record.children


def test_a_second_start_says_so_and_touches_nothing(terminal: Terminal):
    first = terminal.start("OBEDIENT")
    terminal.ready()
    before = children_of(terminal, first)
    second = terminal.run("start")
    assert second.returncode == 1
    assert f"already running (pid {first.pid}, page http://localhost:" in second.stderr
    assert children_of(terminal, first) == before
    assert len(list((terminal.folder / "runs").iterdir())) == 1


def test_stop_ends_the_fleet_from_another_terminal_and_says_what_it_stopped(terminal: Terminal):
    process = terminal.start("OBEDIENT")
    terminal.ready()
    family = terminal.family(process)
    stopped = terminal.run("stop", "--all", "--go2rtc")
    assert stopped.returncode == 0, stopped.stderr
    assert stopped.stdout.startswith(f"stopped the fleet (pid {process.pid}, page ")
    assert process.wait(1) == 0
    assert gone(family)
    assert terminal.run("stop").stdout == "nothing is running\n"


def test_a_fleet_that_hangs_is_killed_with_all_it_started(terminal: Terminal):
    process = terminal.start("STUBBORN")
    terminal.ready()
    family = terminal.family(process)
    process.send_signal(signal.SIGSTOP)
    stopped = terminal.run("stop")
    assert "did not stop in time and was killed" in stopped.stdout
    assert "ended leftovers of omega-1" in stopped.stdout
    process.wait(1)
    assert gone(family)
    assert terminal.locks() == []


def test_what_a_killed_fleet_left_is_found_and_ended(terminal: Terminal):
    process = terminal.start("STUBBORN")
    terminal.ready()
    family = terminal.family(process)
    process.kill()
    process.wait()
    stopped = terminal.run("stop", "--all")
    assert stopped.stdout.count("ended leftovers of") == 3
    assert gone(family)
    assert terminal.run("stop", "--all").stdout == "nothing is running\n"


def test_stop_touches_no_process_that_only_has_the_same_id(terminal: Terminal):
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


def test_a_game_that_does_not_exist_stops_the_start_with_the_workers_own_sentence(
    terminal: Terminal,
):
    program = """
import sys, time
if sys.argv[-1] != "omega-0": time.sleep(600)
print("metabonk: unknown game 'doom:x'. Games on this machine:\\n  doom:basic")
sys.exit(2)
"""
    process = terminal.start(program, "--game", "doom:x")
    assert process.wait(15) == 2
    assert "metabonk: unknown game 'doom:x'. Games" in terminal.text
    assert terminal.text.rstrip().endswith("doom:basic")
    assert "Traceback" not in terminal.text
    assert terminal.locks() == []
    assert list((terminal.folder / "runs").iterdir()) == []
    assert has_no_children(process.pid)


def has_no_children(pid: int) -> bool:
    return pid not in [process.info["ppid"] for process in psutil.process_iter(["ppid"])]


def test_a_port_in_use_stops_the_start_before_anything_is_made(terminal: Terminal):
    with socket.create_server(("127.0.0.1", terminal.ports[3])):
        refused = terminal.run("start")
    assert refused.returncode == 1
    assert f"port {terminal.ports[3]}, which omega-0 needs, is in use" in refused.stderr
    assert not (terminal.folder / "runs").exists()
    assert terminal.locks() == []


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--workers", "two"), "workers (METABONK_WORKERS) is 'two'", 2),
        (
            ("--games-per-worker", "65"),
            "worker.games_per_worker (METABONK_WORKER_GAMES_PER_WORKER) is '65'",
            2,
        ),
        (("--seed", "-1"), "learning.seed (METABONK_LEARNING_SEED) is '-1'", 2),
        (("--mode", "watch"), "invalid choice: 'watch'", 2),
        (("--host", "my.house"), "0.0.0.0 for all of them", 2),
        (("--stream-profile", "nine"), "there is no such profile", 2),
        (("--resume", "nine"), "there is no run 'nine' in runs", 1),
        (("--mode", "play"), "there is no run with a checkpoint", 1),
    ],
)
def test_what_cannot_be_used_gets_a_sentence_and_no_traceback(
    terminal: Terminal, arguments: tuple[str, ...], words: str, code: int
):
    refused = terminal.run("start", *arguments)
    assert refused.returncode == code
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_folder_for_logs_that_cannot_be_made_is_named(terminal: Terminal):
    (terminal.folder / "logs").write_text("a file")
    refused = terminal.run("start")
    assert refused.returncode == 1
    assert "METABONK_PATHS_LOGS" in refused.stderr


def test_go2rtc_runs_beside_the_fleet_is_started_again_and_ends_with_it(terminal: Terminal):
    terminal.environment["METABONK_GO2RTC_PATH"] = str(install(terminal.folder))
    process = terminal.start("OBEDIENT", "--go2rtc")
    terminal.ready(("learner", "omega-0", "omega-1", "go2rtc"))
    api = f"http://127.0.0.1:{terminal.environment['METABONK_PORTS_GO2RTC']}/api/streams"
    assert httpx.get(api).json() == {
        f"omega-{i}": f"http://127.0.0.1:{terminal.ports[3] + i}/stream.ts" for i in range(2)
    }
    page = f"http://127.0.0.1:{terminal.ports[1]}/api/fleet"
    address = api.removesuffix("/api/streams")
    until("the page has its address", lambda: httpx.get(page).json()["go2rtc"] == address, 5)
    first = children_of(terminal, process)["go2rtc"]
    os.kill(first.pid, signal.SIGKILL)
    until("it restarts", lambda: children_of(terminal, process).get("go2rtc", first) != first, 10)
    again = children_of(terminal, process)["go2rtc"]
    stopped = terminal.run("stop", "--all", "--go2rtc").stdout
    assert f"stopped its go2rtc (pid {again.pid})" in stopped
    assert process.wait(1) == 0
    assert not psutil.pid_exists(again.pid)
    assert "go2rtc: running" in terminal.text


def test_a_fleet_that_is_killed_takes_go2rtc_with_it(terminal: Terminal):
    terminal.environment["METABONK_GO2RTC_PATH"] = str(install(terminal.folder))
    process = terminal.start("OBEDIENT", "--go2rtc")
    terminal.ready(("learner", "omega-0", "omega-1", "go2rtc"))
    beside = psutil.Process(children_of(terminal, process)["go2rtc"].pid)
    others = [member for member in terminal.family(process) if member != beside]
    kill(others)
    process.wait()
    until("it has ended", lambda: not beside.is_running(), 5)


def test_a_go2rtc_that_cannot_run_leaves_the_fleet_alone(terminal: Terminal):
    broken = "#!/bin/sh\necho panic >&2\nexit 2\n"
    terminal.environment["METABONK_GO2RTC_PATH"] = str(install(terminal.folder, broken))
    process = terminal.start("OBEDIENT", "--go2rtc")
    terminal.ready()
    until("the problem is shown", lambda: "problem: go2rtc" in terminal.text, 10)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 0


def test_go2rtc_and_variables_that_are_no_settings_are_noted(terminal: Terminal):
    terminal.environment["METABONK_WORKERZ"] = "3"
    terminal.environment["METABONK_GO2RTC_PATH"] = str(terminal.folder / "nowhere")
    process = terminal.start("OBEDIENT", "--go2rtc")
    terminal.ready()
    process.send_signal(signal.SIGINT)
    process.wait(5)
    assert "go2rtc is not used: METABONK_GO2RTC_PATH is" in terminal.text
    assert "the built-in WebRTC serves instead" in terminal.text
    assert "did you mean METABONK_WORKERS?" in terminal.text


def test_what_a_person_should_do_about_the_machine_is_on_the_page_and_the_terminal(
    terminal: Terminal,
):
    driver = SimulatedDriver(terminal.folder / "driver", driver="550.54.14")
    terminal.environment |= driver.environment
    process = terminal.start("OBEDIENT")
    terminal.ready()
    page = f"http://127.0.0.1:{terminal.ports[1]}/api/fleet"
    words = "driver 550.54.14 of GPU 0"
    until("the page shows it", lambda: words in str(httpx.get(page).json()["problems"]), 10)
    until("the terminal shows it", lambda: f"problem: {words}" in terminal.text, 10)
    assert f"Problem: {words}" in terminal.run("nvenc", "status").stdout
    driver.set(driver="590.44.01")
    assert "Problem:" not in terminal.run("nvenc", "status").stdout
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 0


def test_a_container_without_the_encoders_library_is_told_of(terminal: Terminal):
    driver = SimulatedDriver(terminal.folder / "driver")
    part = terminal.folder / "given"
    part.mkdir()
    for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
        (part / name).symlink_to(Path(driver.environment["LD_LIBRARY_PATH"]) / name)
    terminal.environment |= {**driver.environment, "LD_LIBRARY_PATH": str(part)}
    said = terminal.run("nvenc", "status").stdout
    assert "can't encode: libnvidia-encode.so.1 is missing" in said


def test_a_run_can_be_resumed_with_its_game_and_no_other(terminal: Terminal):
    process = terminal.start("OBEDIENT", "--game", "doom:basic")
    terminal.ready()
    process.send_signal(signal.SIGINT)
    process.wait(5)
    (run_dir,) = (terminal.folder / "runs").iterdir()
    other = terminal.run("start", "--resume", run_dir.name, "--game", "doom:my_way_home")
    assert "was trained on doom:basic and can't resume as doom:my_way_home" in other.stderr
    for log in (terminal.folder / "logs").iterdir():
        log.unlink()
    process = terminal.start("OBEDIENT", "--resume", run_dir.name)
    terminal.ready()
    fleet = httpx.get(f"http://127.0.0.1:{terminal.ports[1]}/api/fleet").json()
    assert (fleet["run"], fleet["game"]) == (run_dir.name, "doom:basic")
    process.send_signal(signal.SIGINT)
    process.wait(5)
    assert list((terminal.folder / "runs").iterdir()) == [run_dir]


def test_a_terminal_gets_a_live_table_and_closing_it_stops_the_fleet(terminal: Terminal):
    ours, theirs = pty.openpty()
    terminal.environment |= {"COLUMNS": "120", "LINES": "40", "TERM": "xterm-256color"}
    process = terminal.start("OBEDIENT", stdout=theirs)
    os.close(theirs)
    seen = b""
    while b"omega-1" not in seen:
        seen += os.read(ours, 65_536)
    for words in (b"page", b"worker", b"steps/s", b"backend", b"omega-0"):
        assert words in seen
    family = terminal.family(process)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    assert process.wait(5) == 0
    assert gone(family)
    log = (terminal.folder / "logs" / "orchestrator.log").read_text()
    assert "Traceback" not in log
    assert log.rstrip().endswith("stopped")


def test_the_lock_tells_every_child(terminal: Terminal):
    process = terminal.start("OBEDIENT")
    terminal.ready()
    (lock,) = terminal.locks()
    record = read_record(lock)
    assert record is not None
    assert record.process == process_id(process.pid)
    assert record.children.keys() == {"learner", "omega-0", "omega-1"}
    family = {member.pid for member in terminal.family(process)}
    for child in record.children.values():
        assert child.pid in family
        assert members(child) == [child]


def test_beyond_loopback_there_is_one_port_and_it_asks_for_the_token(terminal: Terminal):
    process = terminal.start("OBEDIENT", "--host", "0.0.0.0")
    terminal.ready()
    (shown,) = [line for line in terminal.text.splitlines() if line.startswith("page: ")]
    address, token = shown.removeprefix("page: ").split("/?token=")
    assert len(token) >= 43, "256 bits"
    page = f"http://127.0.0.1:{terminal.ports[1]}"
    assert httpx.get(f"{page}/api/fleet").status_code == 401
    known = httpx.get(f"{page}/api/fleet", headers={"Authorization": f"Bearer {token}"})
    assert known.json()["workers"] == {}
    assert httpx.get(f"{address}/api/fleet?token={token}").is_success
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
    assert process.wait(5) == 0


def test_the_token_may_be_ones_own(terminal: Terminal):
    terminal.environment["METABONK_ACCESS_TOKEN"] = "a-token-that-nobody-guesses"
    process = terminal.start("OBEDIENT", "--host", "0.0.0.0")
    terminal.ready()
    assert "/?token=a-token-that-nobody-guesses\n" in terminal.text
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 0
