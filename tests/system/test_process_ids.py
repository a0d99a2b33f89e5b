"""Process ids, process sessions and their leftovers."""

import os
import signal
import subprocess
import sys

from metabonk.system.process_ids import (
    ProcessId,
    boot_id,
    end,
    is_alive,
    is_ours,
    leftovers,
    members,
    process_id,
    send,
    wait_until_ended,
)
from tests.support.children import STUBBORN
from tests.support.waiting import GENEROUS_S, until

SLEEP = "import time; time.sleep(600)"
MARK = "metabonk.cli.main"


def test_a_process_is_distinguished_from_a_later_one_with_the_same_pid():
    me = process_id(os.getpid())
    assert me is not None
    assert is_alive(me)
    assert not is_alive(ProcessId(pid=me.pid, started=me.started - 1))


def test_an_ended_process_has_no_id_even_before_it_is_reaped():
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_id(process.pid) is None
    process.wait()
    assert process_id(process.pid) is None


# Ends the first thread alone; the other one keeps what the process has open, for a while.
HALF_ENDED = """
import ctypes, platform, sys, threading
def rest():
    sys.stdin.read()
    import os; os._exit(0)
threading.Thread(target=rest).start()
exit_thread = {"x86_64": 60, "aarch64": 93}[platform.machine()]
print("ready", flush=True)
ctypes.CDLL(None).syscall(exit_thread, 0)
"""


def test_a_process_has_ended_when_its_last_thread_has():
    process = subprocess.Popen(
        [sys.executable, "-c", HALF_ENDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin and process.stdout
    current = process_id(process.pid)
    assert current is not None
    process.stdout.readline()
    until("its first thread has ended", lambda: not is_alive(current))
    assert wait_until_ended([current], 0.05) == [current]
    process.stdin.close()
    assert wait_until_ended([current], GENEROUS_S) == []
    process.stdout.close()
    process.wait()


def test_a_signal_for_an_earlier_process_is_not_delivered():
    process = subprocess.Popen([sys.executable, "-c", SLEEP])
    current = process_id(process.pid)
    assert current is not None
    earlier = ProcessId(pid=current.pid, started=current.started - 1)
    assert not send(earlier, signal.SIGKILL)
    assert process.poll() is None
    assert send(current, signal.SIGKILL)
    process.wait()
    assert not send(current, signal.SIGKILL)


def test_members_are_found_even_after_their_leader_has_ended():
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, MARK], start_new_session=True, stdout=subprocess.PIPE
    )
    leader = process_id(process.pid)
    assert leader is not None and process.stdout is not None
    process.stdout.readline()
    assert len(members(leader)) == 3
    process.kill()
    process.wait()
    process.stdout.close()
    left = members(leader)
    assert len(left) == 2
    assert members(ProcessId(pid=leader.pid, started=leader.started + 10**9)) == []
    assert end(left, grace_s=0.1) == left
    until("no member is left", lambda: members(leader) == [])


def test_members_of_a_later_process_are_left_alone():
    process = subprocess.Popen([sys.executable, "-c", SLEEP, MARK], start_new_session=True)
    current = process_id(process.pid)
    assert current is not None
    earlier = ProcessId(pid=current.pid, started=current.started - 1)
    assert members(earlier) == []
    assert [process.pid] == [p.pid for p in leftovers(current)]
    process.kill()
    process.wait()


def test_leftovers_are_found_only_under_a_leader_of_ours():
    for mark, count in ((MARK, 3), ("other", 0)):
        process = subprocess.Popen(
            [sys.executable, "-c", STUBBORN, mark], start_new_session=True, stdout=subprocess.PIPE
        )
        leader = process_id(process.pid)
        assert leader is not None and process.stdout is not None
        process.stdout.readline()
        assert len(leftovers(leader)) == count
        end(members(leader), grace_s=0.0)
        process.wait()
        process.stdout.close()


def test_only_processes_that_run_metabonk_are_ours():
    processes = [
        subprocess.Popen([sys.executable, "-c", SLEEP, MARK], start_new_session=True),
        subprocess.Popen(["sleep", "600"], start_new_session=True),
    ]
    ids = [process_id(process.pid) for process in processes]
    ours = [is_ours(current) for current in ids if current is not None]
    for process in processes:
        process.kill()
        process.wait()
    assert ours == [True, False]
    assert not any(is_ours(current) for current in ids if current is not None)


def test_the_boot_id_is_a_uuid():
    assert len(boot_id()) == 36
