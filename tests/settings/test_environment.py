"""What libraries are told, each in a process of its own."""

import subprocess
import sys

import pytest

from metabonk.settings.environment import environment_with, gpus_are_hidden, visible_to, visible_devices

IS_SHARED = """
import ctypes, threading
from pathlib import Path
from metabonk.settings.environment import use_one_heap

{call}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
places = []
thread = threading.Thread(target=lambda: places.append(libc.malloc(1000)))
thread.start()
thread.join()
(heap,) = [line for line in Path("/proc/self/maps").read_text().splitlines() if "[heap]" in line]
begin, end = (int(each, 16) for each in heap.split()[0].split("-"))
print(begin <= places[0] < end)
"""
"""Whether what a second thread is given lies in the first one's heap."""


def run(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_threads_share_one_heap_only_when_told_to():
    assert run(IS_SHARED.format(call="use_one_heap()")) == "True"
    assert run(IS_SHARED.format(call="")) == "False"


@pytest.mark.parametrize(
    ("visible", "hidden"), [(None, False), ("", True), ("-1", True), ("0", False), ("1,0", False)]
)
def test_gpus_can_be_hidden_as_from_any_program(
    visible: str | None, hidden: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_devices() == visible
    assert gpus_are_hidden() is hidden


def test_a_child_sees_what_it_is_told_and_keeps_the_rest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("SOMETHING", "else")
    environment = environment_with(visible_to("GPU-7"))
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-7"
    assert environment["SOMETHING"] == "else"
    assert visible_devices() == "0,1"
