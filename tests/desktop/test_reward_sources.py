"""Rewards of a small program in C: from its memory, and from what it writes to a socket."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from metabonk.desktop.catalog import load
from metabonk.desktop.engines import open_engine
from metabonk.errors import GameError
from tests.support.native_game import native_game


@pytest.fixture(autouse=True)
def _own_runtime_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with TemporaryDirectory() as folder:  # Of a short name, for the socket's path.
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


def test_a_program_is_rewarded_by_a_variable_of_its_memory(tmp_path: Path):
    place = 'from = "memory"\nsymbol = "player"\npointers = [8]\ntype = "f64"\n'
    entry = load(native_game(tmp_path, place))
    with contextlib.closing(open_engine(entry, None)) as engine:
        assert engine.reset(0).value == 0.5  # Of the key that was held in the menu.
        assert engine.step(("space",), 6).value == 1.0
        assert engine.step((), 6).value == 1.0


def test_a_program_is_rewarded_by_what_it_writes_to_its_socket(tmp_path: Path):
    entry = load(native_game(tmp_path, 'from = "socket"\n'))
    with contextlib.closing(open_engine(entry, None)) as engine:
        assert engine.reset(0).value == 0
        assert engine.step(("space",), 6) == (2.5, False, 6)
        assert engine.step((), 6) == (2.5, False, 6)
        with pytest.raises(GameError, match=r"failed: it wrote 'jackpot' to METABONK_REWARDS"):
            engine.step(("x",), 6)
        assert engine.step(("q",), 6) == (5, True, 6)  # It says so, and exits.


def test_a_variable_that_isnt_there_is_a_sentence(tmp_path: Path):
    entry = load(native_game(tmp_path, 'from = "memory"\nsymbol = "points"\ntype = "i32"\n'))
    with (
        contextlib.closing(open_engine(entry, None)) as engine,
        pytest.raises(GameError, match=r"failed: .*/game has no symbol 'points'"),
    ):
        engine.reset(0)


def test_a_socket_whose_path_is_too_long_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / ("x" * 100)
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    with pytest.raises(GameError, match=r"failed: .* is too long for a socket's path"):
        open_engine(load(native_game(tmp_path, 'from = "socket"\n')), None)
