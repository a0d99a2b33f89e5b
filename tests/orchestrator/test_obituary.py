import signal
from pathlib import Path

import pytest

from metabonk.orchestrator.obituary import Death, last_words


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
    assert Death.of("omega-0", 1, log, start).sentence.endswith(": last line")


def test_a_log_that_is_gone_says_nothing(tmp_path: Path):
    death = Death.of("omega-0", 1, tmp_path / "none.log", 0)
    assert death.sentence == "omega-0 ended with exit code 1"


def test_a_huge_log_is_read_from_its_end(tmp_path: Path):
    log = tmp_path / "omega-0.log"
    log.write_bytes(b"\xff" * 3_000_000 + b"\nthe end\n")
    assert Death.of("omega-0", 1, log, 0).last_words == "the end"


def test_last_words_may_have_several_lines_and_come_after_a_traceback():
    output = "INFO x\nTraceback …\n  File\nmetabonk: no game 'x'. Games:\n  doom:basic\n"
    assert last_words(output) == "no game 'x'. Games:\n  doom:basic"
    assert last_words("metabonk: first line\n") == "first line"
    assert last_words("") == ""
