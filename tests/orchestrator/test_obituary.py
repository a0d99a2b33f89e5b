import signal
import subprocess
import sys
from pathlib import Path

import pytest

from metabonk.orchestrator.obituary import Death, last_words, words_in


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "ended with exit code 1"),
        (0, "ended with exit code 0"),
        (-signal.SIGKILL, "was killed by SIGKILL (by somebody, or by the kernel"),
        (-signal.SIGSEGV, "was ended by SIGSEGV"),
        (-63, "was ended by signal 63"),
    ],
)
def test_the_exit_status_is_said_in_words(code: int, words: str):
    assert Death("omega-0", code, "").sentence.startswith(f"omega-0 {words}")


def test_only_what_was_written_in_this_life_counts(tmp_path: Path):
    log = tmp_path / "omega-0.log"
    log.write_text("metabonk: an old mistake\n")
    start = log.stat().st_size
    with log.open("a") as file:
        file.write("new life\nlast line\n")
    assert words_in(log, start) == "last line"


def test_a_log_that_is_gone_says_nothing(tmp_path: Path):
    death = Death("omega-0", 1, words_in(tmp_path / "none.log", 0))
    assert death.sentence == "omega-0 ended with exit code 1"


def test_a_huge_log_is_read_from_its_end(tmp_path: Path):
    log = tmp_path / "omega-0.log"
    log.write_bytes(b"\xff" * 3_000_000 + b"\nthe end\n")
    assert words_in(log, 0) == "the end"


def test_last_words_may_have_several_lines_and_come_after_a_traceback():
    output = "INFO x\nTraceback …\n  File\nmetabonk: no game 'x'. Games:\n  doom:basic\n"
    assert last_words(output) == "no game 'x'. Games:\n  doom:basic"
    assert last_words("metabonk: first line\n") == "first line"
    assert last_words("") == ""


CRASH = """INFO plays
Fatal Python error: Segmentation fault

Thread 0x01 (most recent call first):
  File "/threading.py", line 331 in wait

Current thread 0x02 (most recent call first):
  File "/av.py", line 77 in encode
  File "/streamer.py", line 9 in _run

Extension modules: numpy
"""


def test_a_crash_in_native_code_says_where():
    assert last_words(CRASH) == "Segmentation fault in /av.py:77 (encode)"
    assert last_words("Fatal Python error: Aborted\n") == "Aborted"


def test_a_child_that_was_ended_has_a_cause_and_counts_as_crashed():
    death = Death("omega-0", -signal.SIGABRT, "Aborted", 7, "it has not answered for 15 s")
    assert death.sentence == "omega-0 was ended, since it has not answered for 15 s"
    assert death.crashed
    assert Death("omega-0", -signal.SIGSEGV, "").crashed
    assert not Death("omega-0", -signal.SIGKILL, "").crashed
    assert not Death("omega-0", 1, "").crashed


def test_faulthandler_writes_what_is_understood():
    program = "import faulthandler, ctypes; faulthandler.enable(); ctypes.string_at(0)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert last_words(run.stderr).startswith("Segmentation fault in ")
    assert "string_at" in last_words(run.stderr)
