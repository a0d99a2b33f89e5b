"""``metabonk export``; the files themselves are tested in ``tests/inference``."""

from pathlib import Path

import pytest

from metabonk.cli.main import main


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("policy.pth", "has the suffix '.pth', which names no format: choose .pt2"),
        ("policy", "has the suffix '', which names no format"),
        ("taken.pt2", "taken.pt2 exists already"),
        ("nowhere/policy.pt2", "nowhere is not a folder"),
        ("policy.pt2", "there is no run with a checkpoint"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_sentence(
    name: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    Path("taken.pt2").write_text("kept")
    assert main(["export", "-o", name]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["taken.pt2"]
    assert Path("taken.pt2").read_text() == "kept"
