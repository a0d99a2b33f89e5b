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
)
from tests.support.children import STUBBORN
from tests.support.waiting import until

SLEEP = "import time; time.sleep(600)"
MARK = "metabonk.cli.main"


def test_a_process_is_told_from_a_later_one_of_the_same_id():
    me = process_id(os.getpid())
    assert me is not None
    assert is_alive(me)
    assert not is_alive(ProcessId(pid=me.pid, started=me.started - 1))


def test_an_ended_process_has_no_name_even_before_it_is_reaped():
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_id(process.pid) is None
    process.wait()
    assert process_id(process.pid) is None


def test_a_signal_for_an_earlier_process_reaches_nobody():
    process = subprocess.Popen([sys.executable, "-c", SLEEP])
    name = process_id(process.pid)
    assert name is not None
    earlier = ProcessId(pid=name.pid, started=name.started - 1)
    assert not send(earlier, signal.SIGKILL)
    assert process.poll() is None
    assert send(name, signal.SIGKILL)
    process.wait()
    assert not send(name, signal.SIGKILL)


def test_a_session_is_found_whole_also_when_its_leader_has_ended():
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
    until("the session is empty", lambda: members(leader) == [])


def test_a_session_of_a_later_process_is_left_alone():
    process = subprocess.Popen([sys.executable, "-c", SLEEP, MARK], start_new_session=True)
    name = process_id(process.pid)
    assert name is not None
    earlier = ProcessId(pid=name.pid, started=name.started - 1)
    assert members(earlier) == []
    assert [process.pid] == [p.pid for p in leftovers(name)]
    process.kill()
    process.wait()


def test_all_that_is_left_under_a_leader_of_ours_is_ours():
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


def test_only_what_runs_metabonk_or_lies_in_its_environment_is_ours():
    processes = [
        subprocess.Popen([sys.executable, "-c", SLEEP, MARK], start_new_session=True),
        subprocess.Popen(["sleep", "600"], start_new_session=True),
    ]
    names = [process_id(process.pid) for process in processes]
    ours = [is_ours(name) for name in names if name is not None]
    for process in processes:
        process.kill()
        process.wait()
    assert ours == [True, False]
    assert not any(is_ours(name) for name in names if name is not None)


def test_the_boot_has_a_name():
    assert len(boot_id()) == 36
