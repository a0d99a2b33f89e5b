"""``metabonk desktop try``: what it says of a definition."""

from pathlib import Path

import pytest

from metabonk.cli.desktop import Trial, judge
from metabonk.cli.main import main
from tests.support.desktop import small_game
from tests.support.requirements import require_desktop


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_desktop("love", apt="love")
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("METABONK_BROADCAST", "0")
    monkeypatch.chdir(tmp_path)


def tried(folder: Path, capsys: pytest.CaptureFixture[str], given: str, instead: str) -> str:
    """Try the small game with harmless actions and a change; return what is said."""
    entry = small_game(folder, replace=(given, instead))
    file = Path(entry.game_id.removeprefix("desktop:"))
    text, start, end = file.read_text(encoding="utf-8"), "fail = ", "[reward]"
    text = text[: text.index(start)] + "\n" + text[text.index(end) :]
    file.write_text(text, encoding="utf-8")
    code = main(["desktop", "try", str(file), "--seconds", "1.5"])
    output = capsys.readouterr().out
    assert code == (0 if "✗" not in output else 1)
    return output


def test_a_definition_that_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tried(tmp_path, capsys, "", "")
    assert "game.toml starts in" in output
    assert "✓ an episode that is repeated is the same for" in output
    assert output.endswith("the definition holds\n")


def test_a_reward_that_never_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tried(tmp_path, capsys, 'value = "x"', 'value = "0"')
    assert "✗ no reward in 1.5 s of random play: is [reward] what grows?" in output


def test_an_episode_that_depends_on_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tried(tmp_path, capsys, 'begin = "x, fallen = 0, 0"', 'begin = "x = (x + 7) % 16"')
    assert "✗ an episode that is repeated differs from step 0 on" in output


def test_what_looks_wrong_is_a_sentence_each():
    trial = Trial(steps=40, terminated=20)
    still, unrewarded, short = judge(trial, 30)
    assert still == "nothing changed on the screen in 40 steps: does it wait for a key?"
    assert unrewarded.startswith("no reward in 30 s of random play")
    assert short == "an episode lasts 2.0 steps: is it over at once?"
    assert not list(judge(Trial(steps=40, changed=40, rewarded=1, terminated=1), 30))
