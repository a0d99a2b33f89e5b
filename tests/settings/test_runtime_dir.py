"""The runtime folder, in the login session's or in the temporary one."""

import os
import tempfile
from pathlib import Path

import pytest

from metabonk.errors import StartError
from metabonk.settings import runtime_dir as module
from metabonk.settings.runtime_dir import (
    existing_runtime_dirs,
    runtime_dir,
    runtime_places,
)
from metabonk.system.private_folder import session_dir_problem


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the login session's folder; the temporary one is beside it."""
    folder = tmp_path / "session"
    folder.mkdir(mode=0o700)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return folder


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "tmp" / f"metabonk-{os.getuid()}"


def test_the_sessions_folder_is_preferred(session: Path, shared: Path):
    assert runtime_dir() == session / "metabonk"
    assert runtime_places() == [session / "metabonk", shared]


def test_both_folders_are_searched_where_they_are_this_users(session: Path, shared: Path):
    assert existing_runtime_dirs() == []
    shared.mkdir(mode=0o700)
    (session / "metabonk").symlink_to(shared)
    assert existing_runtime_dirs() == [shared]
    (session / "metabonk").unlink()
    runtime_dir()
    assert existing_runtime_dirs() == [session / "metabonk", shared]


def test_a_configured_folder_replaces_both(session: Path, tmp_path: Path):
    assert runtime_dir(tmp_path / "own") == tmp_path / "own"
    assert runtime_places(tmp_path / "own") == [tmp_path / "own"]


def test_the_folder_moves_with_the_last_logout_and_the_next_login(session: Path, shared: Path):
    session.rmdir()
    assert runtime_dir() == shared
    session.mkdir(mode=0o700)
    assert runtime_dir() == session / "metabonk"


def test_the_folder_of_another_user_is_left_alone(
    session: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
):
    shared.mkdir(mode=0o700)
    status, own = session.stat(), os.getuid()
    monkeypatch.setattr(module.os, "getuid", lambda: own + 1)
    assert session_dir_problem(session) == f"it belongs to another user (uid {status.st_uid})"
    # Here both belong to the other user; what counts is which one is chosen.
    (shared.parent / f"metabonk-{own + 1}").mkdir(mode=0o700)
    with pytest.raises(StartError, match=f"metabonk-{own + 1} belongs to another user"):
        runtime_dir()
    assert list(session.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("relative/path", "it is a relative path"),
        ("/nonexistent/run", "no such file or directory"),
        ("/proc/version", "it is not a folder"),
    ],
)
def test_a_folder_that_cannot_be_the_sessions_is_not_used(
    value: str, problem: str, session: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    assert session_dir_problem(Path(value)) == problem
    assert runtime_dir() == shared


def test_a_folder_that_every_user_can_write_to_is_not_used(session: Path, shared: Path):
    session.chmod(0o777)
    assert runtime_dir() == shared


def test_without_a_session_it_is_in_the_temporary_folder(
    session: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    assert runtime_dir() == shared
