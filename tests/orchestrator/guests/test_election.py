"""One process of a user shows what is broadcast; a hub makes room for a fleet."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.broadcast.meeting import LOCK, is_shown, page_address
from metabonk.orchestrator.guests.election import Election
from metabonk.system.file_lock import is_locked
from metabonk.system.process_ids import process_id
from tests.support.waiting import until

PAGE = "http://localhost:5173/?token=secret"

# Wins the election as a process of its own, and ends at SIGTERM.
CANDIDATE = """
import signal, sys
from metabonk.orchestrator.guests.election import Election
election = Election(sys.argv[1])
assert election.run()
election.announce("http://localhost:1")
print("won", flush=True)
signal.sigwait({signal.SIGTERM})
election.close()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path))
    return tmp_path / "rings"


@contextlib.contextmanager
def candidate(kind: str) -> Iterator[subprocess.Popen[bytes]]:
    blocked = {signal.SIGTERM}
    with subprocess.Popen(
        [sys.executable, "-c", CANDIDATE, kind],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, blocked),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"won\n"
        yield process
        process.kill()


def test_the_first_one_wins_until_it_leaves(folder: Path):
    first, second = Election("fleet"), Election("watch")
    assert first.run() and first.run()
    assert not second.run()
    assert (first.is_won, second.is_won) == (True, False)
    first.close()
    assert not is_shown(folder)
    assert second.run()
    second.close()
    assert list(folder.iterdir()) == []
    assert not second.run(), "it has left"


def test_its_page_is_for_this_user_alone_and_known_once_it_is_served(folder: Path):
    with contextlib.closing(Election("fleet")) as election:
        election.run()
        assert is_shown(folder)
        assert page_address(folder) is None
        election.announce(PAGE)
        assert page_address(folder) == PAGE
        holder = election.holder()
        assert holder is not None
        assert (holder.kind, holder.process) == ("fleet", process_id(os.getpid()))
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / LOCK)]
        assert modes == [0o700, 0o600]
    assert page_address(folder) is None


def test_a_fleet_ends_a_hub_and_takes_its_place(folder: Path):
    with candidate("hub") as hub, contextlib.closing(Election("fleet")) as election:
        (line,) = election.take_over()
        assert f"ended the hub (pid {hub.pid})" in line
        assert election.is_won
        assert hub.wait(5) == 0


@pytest.mark.parametrize("kind", ["fleet", "watch"])
def test_what_a_user_has_started_is_left_alone(folder: Path, kind: str):
    with candidate(kind) as other, contextlib.closing(Election("fleet")) as election:
        assert list(election.take_over()) == []
        assert not election.is_won
        assert other.poll() is None
        holder = election.holder()
        assert holder is not None
        assert (holder.kind, holder.page) == (kind, "http://localhost:1")


def test_a_stopped_hub_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("metabonk.orchestrator.guests.election.HUB_STOP_S", 0.2)
    with candidate("hub") as hub, contextlib.closing(Election("watch")) as election:
        hub.send_signal(signal.SIGSTOP)
        (line,) = election.take_over()
        assert line.endswith("it did not stop in time and was killed")
        assert election.is_won


def test_a_killed_winner_is_followed_at_once(folder: Path):
    with candidate("fleet") as other, contextlib.closing(Election("hub")) as election:
        other.kill()
        other.wait()
        assert (folder / LOCK).exists()
        assert until("it is won", election.run)


def test_a_removed_file_is_made_anew(folder: Path):
    with contextlib.closing(Election("hub")) as election:
        election.run()
        election.announce(PAGE)
        (folder / LOCK).unlink()
        folder.rmdir()
        assert election.run()
        assert is_locked(folder / LOCK)
        assert page_address(folder) == PAGE


def test_a_file_that_says_nonsense_is_no_holder(folder: Path):
    with contextlib.closing(Election("hub")) as election:
        election.run()
        for text in (b"", b"{", b"[]", b'{"page": 7}', b"\xff" * 100):
            (folder / LOCK).write_bytes(text)
            assert page_address(folder) is None
            assert election.holder() is None
