"""What libraries are told, each in a process of its own."""

import subprocess
import sys

IS_SHARED = """
import ctypes, threading
from pathlib import Path
from metabonk.settings.libraries import keep_one_heap

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
    assert run(IS_SHARED.format(call="keep_one_heap()")) == "True"
    assert run(IS_SHARED.format(call="")) == "False"
