"""Environment variables and allocator settings for libraries."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metabonk.settings.environment import (
    environment_with,
    gpus_are_hidden,
    keep_folders,
    user_state_dir,
    visible_devices,
    visible_to,
)

SHARES_HEAP = """
import ctypes, threading
from pathlib import Path
from metabonk.settings.environment import use_one_heap

{call}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
addresses = []
thread = threading.Thread(target=lambda: addresses.append(libc.malloc(1000)))
thread.start()
thread.join()
(heap,) = [line for line in Path("/proc/self/maps").read_text().splitlines() if "[heap]" in line]
start, end = (int(each, 16) for each in heap.split()[0].split("-"))
print(start <= addresses[0] < end)
"""
"""Prints whether memory allocated by a second thread lies in the main heap."""


DRAWS = """
from metabonk.games import make_game
from metabonk.settings.learning import Learning

print(make_game("gym:CartPole-v1", Learning()).frame().pixels.shape)
"""


def run(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_threads_share_one_heap_only_on_request():
    assert run(SHARES_HEAP.format(call="use_one_heap()")) == "True"
    assert run(SHARES_HEAP.format(call="")) == "False"


def test_pygame_looks_for_no_display(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    result = subprocess.run(
        [sys.executable, "-c", DRAWS], capture_output=True, text=True, check=True
    )
    assert (result.stdout.strip(), result.stderr) == ("(400, 600, 3)", "")


@pytest.mark.parametrize(
    ("visible", "hidden"), [(None, False), ("", True), ("-1", True), ("0", False), ("1,0", False)]
)
def test_cuda_visible_devices_hides_gpus(
    visible: str | None, hidden: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_devices() == visible
    assert gpus_are_hidden() is hidden


def test_a_childs_environment_overrides_only_the_given_variables(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("SOMETHING", "else")
    environment = environment_with(visible_to("GPU-7"))
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-7"
    assert environment["SOMETHING"] == "else"
    assert visible_devices() == "0,1"


@pytest.mark.parametrize(
    ("configured", "home", "folder"),
    [
        ("/state", "/home/me", "/state"),
        ("", "/home/me", "/home/me/.local/state"),
        ("relative", "/home/me", "/home/me/.local/state"),
        ("", "", None),
    ],
)
def test_the_users_folder_for_logs_follows_the_xdg_specification(
    configured: str, home: str, folder: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_STATE_HOME", configured)
    monkeypatch.setenv("HOME", home)
    assert user_state_dir() == (None if folder is None else Path(folder))


def test_folders_in_variables_are_kept_when_the_working_folder_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", "runtime")
    monkeypatch.delenv("METABONK_PATHS_LOGS", raising=False)
    keep_folders("METABONK_PATHS_RUNTIME", "METABONK_PATHS_LOGS")
    assert os.environ["METABONK_PATHS_RUNTIME"] == str(tmp_path / "runtime")
    assert "METABONK_PATHS_LOGS" not in os.environ
