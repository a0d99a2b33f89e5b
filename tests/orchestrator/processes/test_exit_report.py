import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from metabonk.orchestrator.processes.exit_report import ExitReport, fatal_message

CRASH = """INFO plays
Fatal Python error: Segmentation fault

Thread 0x01 (most recent call first):
  File "/threading.py", line 331 in wait

Current thread 0x02 (most recent call first):
  File "/av.py", line 77 in encode
  File "/streamer.py", line 9 in _run

Extension modules: numpy
"""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "ended with exit code 1"),
        (0, "ended with exit code 0"),
        (-signal.SIGKILL, "was killed by SIGKILL (by a user, or by the kernel"),
        (-signal.SIGSEGV, "was terminated by SIGSEGV"),
        (-63, "was terminated by signal 63"),
    ],
)
def test_the_message_puts_the_exit_status_in_words(code: int, words: str):
    assert ExitReport("omega-0", code, "").message.startswith(f"omega-0 {words}")


def test_the_message_carries_the_error():
    report = ExitReport("learner", 3, "disk on fire")
    assert report.message == "learner ended with exit code 3: disk on fire"


def test_a_silent_child_that_was_stopped_counts_as_crashed_and_names_the_reason():
    reason = "it has made no progress for 15 s"
    report = ExitReport("omega-0", -signal.SIGABRT, "Aborted", 7, reason, was_silent=True)
    assert report.message == "omega-0 was stopped because it has made no progress for 15 s"
    assert report.crashed
    assert not replace(report, was_silent=False).crashed, "a game that hangs blames no encoder"
    assert ExitReport("omega-0", -signal.SIGSEGV, "").crashed
    assert not ExitReport("omega-0", -signal.SIGKILL, "").crashed
    assert not ExitReport("omega-0", 1, "").crashed


def test_metabonks_own_error_may_have_several_lines_and_follows_a_traceback():
    output = "INFO x\nTraceback …\n  File\nmetabonk: no game 'x'. Games:\n  doom:basic\n"
    assert fatal_message(output) == "no game 'x'. Games:\n  doom:basic"
    assert fatal_message("metabonk: first line\n") == "first line"


def test_without_an_error_it_is_the_last_line():
    assert fatal_message("one\ntwo\n\n") == "two"
    assert fatal_message("") == ""


def test_a_last_line_that_only_logs_what_it_did_is_not_the_error():
    log = "2026-11-30 14:03:27,120 {level:7} omega-0 {message}\n"
    assert fatal_message(log.format(level="INFO", message="is live")) == ""
    assert fatal_message(log.format(level="CRITICAL", message="thread play died")) == (
        "thread play died"
    )


def test_what_a_killed_process_wrote_does_not_explain_its_end():
    report = ExitReport("omega-0", -signal.SIGKILL, "WHEP viewer left")
    assert "WHEP" not in report.message


def test_a_crash_in_native_code_is_located():
    assert fatal_message(CRASH) == "Segmentation fault in /av.py:77 (encode)"
    assert fatal_message("Fatal Python error: Aborted\n") == "Aborted"


def test_the_output_of_faulthandler_is_understood():
    program = "import faulthandler, ctypes; faulthandler.enable(); ctypes.string_at(0)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert fatal_message(run.stderr).startswith("Segmentation fault in ")
    assert "string_at" in fatal_message(run.stderr)


def test_last_words_are_printable():
    last = fatal_message("metabonk: \x1b]0;owned\x07 \u202e\n")
    assert last == "\\x1b]0;owned\\x07 \\u202e"
    assert fatal_message("Segmentation fault\x1b[2J") == "Segmentation fault\\x1b[2J"
