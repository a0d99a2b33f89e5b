"""Numbers in the memory of running programs."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.desktop import memory_reader
from metabonk.desktop.memory_reader import MemoryReader, Place
from metabonk.errors import GameError
from tests.support.requirements import require

SOURCE = """
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
struct player { short level; double score; } *player, *nobody;
int score = -70000;
int highscore = 9;
unsigned char lives = 250;
double nothing;
int main(void) {
  player = malloc(sizeof *player);
  player->level = 3;
  player->score = 12.5;
  nothing = NAN;
  puts("ready");
  fflush(stdout);
  getchar();
  score = 5;
  puts("ready");
  fflush(stdout);
  getchar();
}
"""
SCORE = Place("", "score", 0, (), "i32")


def start(folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    compiler = require(shutil.which("gcc"), "gcc", apt="gcc")
    (folder / "game.c").write_text(SOURCE, encoding="utf-8")
    command = [compiler, *options, "-o", folder / "game", folder / "game.c"]
    subprocess.run(command, check=True)
    process = subprocess.Popen([folder / "game"], stdin=-1, stdout=-1)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.fixture
def program(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with start(tmp_path) as process:
        yield process
        process.kill()


def read(process: "subprocess.Popen[bytes]", place: Place) -> float | None:
    with contextlib.closing(MemoryReader([process.pid], place)) as reader:
        return reader.read()


def test_variables_are_read_by_symbol_type_and_pointers(program: "subprocess.Popen[bytes]"):
    assert read(program, SCORE) == -70000
    assert read(program, Place("", "highscore", 0, (), "i32")) == 9
    assert read(program, Place("game", "lives", 0, (), "u8")) == 250
    assert read(program, Place("", "lives", 0, (), "i8")) == -6
    assert read(program, Place("", "player", 0, (0,), "i16")) == 3
    assert read(program, Place("", "player", 0, (8,), "f64")) == 12.5
    assert read(program, Place("", "nobody", 0, (8,), "f64")) is None
    assert read(program, Place("", "nothing", 0, (), "f64")) is None


def test_a_number_that_changes_is_read_anew(program: "subprocess.Popen[bytes]"):
    with contextlib.closing(MemoryReader([program.pid], SCORE)) as reader:
        assert reader.read() == -70000
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(b"\n")
        program.stdin.flush()
        program.stdout.readline()
        assert reader.read() == 5
        program.kill()
        program.wait()
        assert reader.read() is None


@pytest.mark.parametrize("options", [("-no-pie",), ("-static",), ("-s", "-rdynamic")])
def test_programs_at_fixed_addresses_and_stripped_ones_are_read(
    tmp_path: Path, options: tuple[str, ...]
):
    with start(tmp_path, *options) as process:
        assert read(process, SCORE) == -70000
        process.kill()


def test_an_offset_counts_from_the_module(program: "subprocess.Popen[bytes]"):
    listed = subprocess.run(
        [require(shutil.which("nm"), "nm", apt="binutils"), f"/proc/{program.pid}/exe"],
        capture_output=True,
        check=True,
        encoding="ascii",
    )
    (address,) = [line.split()[0] for line in listed.stdout.splitlines() if line.endswith(" score")]
    assert read(program, Place("", "", int(address, 16), (), "i32")) == -70000


def test_what_isnt_there_is_a_sentence(program: "subprocess.Popen[bytes]"):
    with pytest.raises(GameError, match=r"none of its processes has loaded libnone.so: correct re"):
        read(program, Place("libnone.so", "score", 0, (), "i32"))
    with pytest.raises(GameError, match=r"game has no symbol 'scores': correct reward.symbol"):
        read(program, Place("", "scores", 0, (), "i32"))
    program.kill()
    program.wait()
    with pytest.raises(GameError, match="it ended unexpectedly"):
        read(program, SCORE)


@pytest.mark.parametrize(
    ("scope", "sentence"),
    [
        ("2\n", r"ptrace_scope is 2, and parents may read with 0 or 1"),
        ("1\n", "the kernel refuses"),
    ],
)
def test_memory_that_may_not_be_read_is_a_sentence(
    program: "subprocess.Popen[bytes]",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scope: str,
    sentence: str,
):
    file = tmp_path / "ptrace_scope"
    file.write_text(scope, encoding="ascii")
    monkeypatch.setattr(memory_reader, "PTRACE_SCOPE", file)

    def refuse(path: str, flags: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(GameError, match=sentence):
        read(program, SCORE)
