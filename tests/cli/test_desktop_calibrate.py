"""``metabonk desktop calibrate``: the digits of a real game, read once and known from then on."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from metabonk.cli.desktop_calibrate import as_toml, calibrate
from metabonk.cli.main import main
from metabonk.desktop.catalog import load, missing_digits, require
from metabonk.desktop.definition import DigitsReward
from metabonk.desktop.digits import DigitReader
from metabonk.desktop.screen_engine import ScreenEngine
from metabonk.errors import GameStartError
from tests.support.desktop import counter, small_game
from tests.support.requirements import require_desktop

FIRST = 123456780


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_desktop("love", apt="love")
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.chdir(tmp_path)


class Counting:
    """A game that counts, and the number that it shows."""

    def __init__(self, engine: ScreenEngine) -> None:
        self._engine = engine
        self.number = FIRST

    def pictures(self, count: int) -> Iterator[NDArray[np.uint8]]:
        for _ in range(count):
            yield self._engine.region()
            self._engine.step(("space",), 3)
            self._engine.step((), 3)
            self.number += 1


def test_digits_that_were_read_to_it_once_are_read_right(tmp_path: Path):
    game_id = counter(tmp_path)
    reward = load(game_id).definition.reward
    assert isinstance(reward, DigitsReward)
    with contextlib.closing(ScreenEngine(load(game_id), None)) as engine:
        engine.reset(0)
        game, asked = Counting(engine), []

        def ask(rows: tuple[str, ...]) -> str:
            asked.append(rows)
            return str(game.number)

        glyphs = calibrate(reward, game.pictures(20), ask)
        assert missing_digits(glyphs) == []
        assert len(asked) < 12
        with Path(load(game_id).file).open("a", encoding="utf-8") as stream:
            stream.write(f"\n{as_toml(glyphs)}\n")
        learned = load(game_id).definition.reward
        assert isinstance(learned, DigitsReward)
        reader = DigitReader(learned.glyphs, learned.threshold)
        # The picture that the last number was asked for is still there.
        shown = game.number
        read = []
        for picture in game.pictures(30):
            read.append(reader.read(picture))
        assert read == list(range(shown, shown + 30))


def test_without_glyphs_a_game_is_not_started(tmp_path: Path):
    with pytest.raises(
        GameStartError, match=r"glyphs lacks 0, 1, .* 9: .*desktop calibrate .*toml"
    ):
        require(load(counter(tmp_path)))


def test_nobody_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    file = counter(tmp_path).removeprefix("desktop:")
    assert main(["desktop", "calibrate", file, "--seconds", "5"]) == 1
    output = capsys.readouterr().out
    assert "which number is this?" in output
    assert "not seen yet: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in output


def test_a_game_whose_score_is_not_on_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = small_game(tmp_path).game_id.removeprefix("desktop:")
    assert main(["desktop", "calibrate", file]) == 2
    assert "reads no digits: reward.from is not 'digits'" in capsys.readouterr().err
