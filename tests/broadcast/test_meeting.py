"""The files by which trainers find the hub of their user."""

import os
from pathlib import Path

import pytest

from metabonk.broadcast.meeting import (
    LOCK,
    TOLD,
    is_shown,
    meeting_folder,
    page_address,
    remove_told,
)
from metabonk.errors import StartError
from metabonk.system.file_lock import try_lock


def test_the_folder_is_that_of_the_rings_and_made(rings: Path):
    assert meeting_folder() == rings
    assert rings.is_dir()


def test_without_a_private_folder_it_is_said_why(rings: Path):
    rings.mkdir(parents=True)
    rings.chmod(0o777)
    with pytest.raises(StartError, match="writable by other users"):
        meeting_folder()


def test_a_page_is_there_while_its_process_is(rings: Path):
    folder = meeting_folder()
    assert page_address(folder) is None
    descriptor = try_lock(folder / LOCK)
    assert descriptor is not None
    assert is_shown(folder)
    assert page_address(folder) is None, "it is starting"
    os.write(descriptor, b'{"page": "http://localhost:5173"}\n')
    assert page_address(folder) == "http://localhost:5173"
    os.close(descriptor)
    assert not is_shown(folder)
    assert page_address(folder) is None


def test_notes_of_trainers_that_have_ended_are_removed(rings: Path):
    folder = meeting_folder()
    held = try_lock(folder / f"{TOLD}1")
    assert held is not None
    (folder / f"{TOLD}2").touch()
    remove_told(folder)
    assert [file.name for file in folder.iterdir()] == [f"{TOLD}1"]
    os.close(held)
