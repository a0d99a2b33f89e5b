"""Numbers that a program prints."""

import contextlib
from pathlib import Path

import pytest

from metabonk.desktop.catalog import load
from metabonk.desktop.output_reader import OutputReader
from metabonk.desktop.screen_engine import ScreenEngine
from tests.support.desktop import counter, write_definition
from tests.support.requirements import require_desktop


def test_the_newest_whole_line_counts(tmp_path: Path):
    file = tmp_path / "output.txt"
    file.write_bytes(b"score: 1\nscore: 2\nlives: 3\nscore: 4")
    with contextlib.closing(OutputReader(file, r"score: (\S+)")) as reader:
        assert reader.read() == 2
        with file.open("ab") as stream:
            stream.write(b"0\n\xff\n")
        assert reader.read() == 40
        assert reader.read() is None
        with file.open("ab") as stream:
            stream.write(b"score: none\n")
        assert reader.read() is None


def test_a_game_is_rewarded_for_what_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    require_desktop("love", apt="love")
    (tmp_path / "runtime").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    text = load(counter(tmp_path)).file.read_text(encoding="utf-8")
    start, end = text.index("from ="), text.index("[episode]")
    reward = 'from = "output"\npattern = "count: (.*)"\n'
    entry = load(write_definition(tmp_path, text[:start] + reward + text[end:]))
    with contextlib.closing(ScreenEngine(entry, None)) as engine:
        assert engine.reset(0).value == 0
        values = []
        for _ in range(5):
            engine.step(("space",), 6)
            values.append(engine.step((), 6).value)
        assert values[-1] == 123456785
