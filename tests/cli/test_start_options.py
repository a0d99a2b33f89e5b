import pytest

from metabonk.cli import start_options
from metabonk.messages.workers import Mode
from metabonk.runs import layout


def test_a_mistyped_option_is_refused_before_anything_is_installed(
    capsys: pytest.CaptureFixture[str],
):
    with pytest.raises(SystemExit, match="2"):
        start_options.check(["--wrokers", "2"])
    assert "--wrokers" in capsys.readouterr().err
    start_options.check(["--workers", "2", "--resume"])


def test_help_has_examples(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="0"):
        start_options.check(["--help"])
    assert "./start --game gym:CartPole-v1" in capsys.readouterr().out


def test_its_words_are_those_of_settings_and_runs():
    assert tuple(Mode) == start_options.MODES
    assert start_options.NEWEST == layout.NEWEST
