"""A LÖVE game that is moved by its adapter: real programs on a real display."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from metabonk.desktop import adapter_engine as engines
from metabonk.desktop.adapter_engine import AdapterEngine
from metabonk.desktop.keys import Keyboard
from metabonk.errors import GameError, GameStartError
from tests.support.desktop import small_game
from tests.support.processes import named
from tests.support.requirements import require_desktop

pytestmark = pytest.mark.usefixtures("_own_runtime_dir")


@pytest.fixture
def _own_runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_desktop("love", apt="love")
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


@pytest.fixture
def game(tmp_path: Path) -> Iterator[AdapterEngine]:
    with contextlib.closing(AdapterEngine(small_game(tmp_path), None)) as engine:
        yield engine


def child(name: str) -> psutil.Process:
    (found,) = named(psutil.Process().children(), name)
    return found


def test_time_passes_by_tics_alone(game: AdapterEngine):
    assert game.reset(1) == (0.0, False, 0)
    assert game.step(("right",), 4) == (pytest.approx(4.0), False, 4)
    assert game.step((), 60).value == pytest.approx(4.0)


def test_the_episode_ends_in_the_tic_that_ends_it(game: AdapterEngine):
    game.reset(1)
    state = game.step(("right",), 60)
    assert (state.over, state.tics) == (True, 20)
    assert game.reset(1) == (0.0, False, 0)


def test_drawing_changes_no_random_number_of_the_game(tmp_path: Path):
    entry = small_game(tmp_path, replace=('value = "x"', 'value = "wind"'))
    with contextlib.closing(AdapterEngine(entry, None)) as game:
        game.reset(5)
        undrawn = [game.step((), 1).value for _ in range(20)]
        game.reset(5)
        drawn = []
        for _ in range(20):
            drawn.append(game.step((), 1).value)
            game.draw()
        assert drawn == undrawn
        assert len(set(drawn)) == 20
        game.reset(6)
        assert game.step((), 1).value != drawn[0]


def test_a_frame_is_what_the_game_draws(game: AdapterEngine):
    game.reset(1)
    first = game.draw()
    assert first.shape == (120, 160, 3)
    assert (first[25, 2:8] == 255).all()
    game.step(("right",), 16)
    assert (game.draw()[25, 18:24] == 255).all()
    assert not np.array_equal(first, game.draw())


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("e", r"it says: .*main\.lua:\d+: out of luck"),
        ("q", r"it says: .*the game was left"),
        ("x", r"it ended unexpectedly; it ended with exit code 7"),
        ("l", r"it has not replied for 0\.5 s: it hangs, or asks something"),
    ],
)
def test_a_game_that_breaks_is_a_sentence(
    game: AdapterEngine, monkeypatch: pytest.MonkeyPatch, key: str, sentence: str
):
    monkeypatch.setattr(engines, "REPLY_S", 0.5)
    game.reset(1)
    with pytest.raises(GameError, match=rf"desktop:.*game\.toml failed: ({sentence})"):
        game.step((key,), 1)


def test_a_game_that_changes_its_size_is_a_sentence(game: AdapterEngine):
    game.reset(1)
    game.step(("g",), 1)
    with pytest.raises(GameError, match=r"draws 320×240 pixels.*definition says 160×120.*resize"):
        game.draw()


@pytest.mark.parametrize(
    ("given", "instead", "sentence"),
    [
        ('value = "x"', 'value = "x +"', "unexpected symbol|expected near"),
        ('value = "x"', 'value = "score"', "the reward's value is nil"),
        ('begin = "x, fallen = 0, 0"', 'begin = "enter()"', "attempt to call global 'enter'"),
    ],
)
def test_a_mistake_in_the_games_language_is_a_sentence(
    tmp_path: Path, given: str, instead: str, sentence: str
):
    entry = small_game(tmp_path, replace=(given, instead))
    with (
        pytest.raises(GameError, match=sentence),
        contextlib.closing(AdapterEngine(entry, None)) as game,
    ):
        game.reset(1)


def test_a_source_that_is_no_game_is_a_sentence(tmp_path: Path):
    entry = small_game(tmp_path, replace=(f"{tmp_path}/source", str(tmp_path)))
    with pytest.raises(GameStartError, match=r"is no LÖVE game: it has no main\.lua"):
        AdapterEngine(entry, None)


@pytest.mark.parametrize("name", ["love", "Xvfb"])
def test_a_killed_program_or_display_is_a_sentence(game: AdapterEngine, name: str):
    game.reset(1)
    child(name).send_signal(signal.SIGKILL)
    with pytest.raises(GameError, match=r"failed: it ended unexpectedly; it ended with"):
        for _ in range(1000):
            game.step((), 1)
            game.draw()


def test_nothing_is_left_of_a_closed_game(tmp_path: Path):
    before = set(Path("/proc/self/fd").iterdir())
    others = set(psutil.Process().children())
    game = AdapterEngine(small_game(tmp_path), None)
    game.reset(1)
    started = set(psutil.Process().children()) - others
    assert {each.name() for each in started} == {"love", "Xvfb"}
    game.close()
    game.close()
    assert not any(each.is_running() for each in started)
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert not list((tmp_path / "runtime").glob("metabonk/desktop/*"))


def test_another_user_can_not_open_the_display(game: AdapterEngine):
    words = child("Xvfb").cmdline()
    authority = Path(words[words.index("-auth") + 1])
    assert authority.parent.stat().st_mode & 0o077 == 0
    number = child("love").environ()["DISPLAY"].removeprefix(":")
    Keyboard(number, authority.read_bytes()[-16:]).close()
    for guess in (b"", b"sixteen letters!"):
        with pytest.raises(GameError, match="its display refused the connection"):
            Keyboard(number, guess)
