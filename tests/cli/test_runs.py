"""``metabonk runs`` lists runs and deletes old ones, but asks first."""

import contextlib
import io
import os
from pathlib import Path

import pytest

from metabonk.cli.main import main
from metabonk.orchestrator.lock import FleetLock
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import save_settings
from metabonk.runs.pruning import hold_run
from metabonk.settings import Settings
from tests.support.statuses import episode


class Answer(io.StringIO):
    """Somebody at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs, the oldest last by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path / "runtime"))
    for days, name in enumerate(("new", "old", "older")):
        run_dir = tmp_path / "runs" / name
        (run_dir / "checkpoints").mkdir(parents=True)
        (run_dir / "checkpoints" / "1.safetensors").write_bytes(bytes(3 << 20))
        file = save_settings(Settings(game="doom:basic"), run_dir)
        with contextlib.closing(EpisodeStore(run_dir, "doom:basic")) as store:
            store.record([episode(1, reward=1234.5 - days), episode(2)])
        at = file.stat().st_mtime - 86_400 * days
        for each in (file, run_dir / "metabonk.sqlite"):
            os.utime(each, (at, at))
    return tmp_path / "runs"


def names(runs: Path) -> set[str]:
    return {folder.name for folder in runs.iterdir()}


def test_runs_are_listed_with_size_age_and_best_return(
    runs: Path, capsys: pytest.CaptureFixture[str]
):
    damaged = runs / "older" / "metabonk.sqlite"
    damaged.write_bytes(b"no database" * 100)
    os.utime(damaged, (1e9, 1e9))
    with hold_run(runs / "old"):
        assert main(["runs"]) == 0
    heading, new, old, older, total = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "run"
    assert [new.split()[0], *new.split()[-2:]] == ["new", "2", "1,234.5"]
    assert "1 d ago" in old and old.endswith("in use")
    assert older.split()[-2:] == ["–", "–"]
    assert total.startswith("3 runs (9.") and total.endswith("in runs")


def test_old_runs_are_deleted_when_asked_and_agreed(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for answer, left in (("\n", {"new", "old", "older"}), ("y\n", {"new"})):
        monkeypatch.setattr("sys.stdin", Answer(answer))
        assert main(["runs", "prune", "--keep", "1"]) == (0 if len(left) == 1 else 2)
        assert "delete 2 runs (6." in capsys.readouterr().out
        assert names(runs) == left
    assert main(["runs", "prune", "--keep", "1"]) == 0
    assert capsys.readouterr().out == "nothing to delete\n"


def test_nothing_is_deleted_where_nobody_can_be_asked(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["runs", "prune", "--keep", "1"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert names(runs) == {"new", "old", "older"}
    assert main(["runs", "prune", "--keep", "1", "--yes"]) == 0
    assert names(runs) == {"new"}


def test_a_running_fleets_run_is_never_deleted(runs: Path, tmp_path: Path):
    """An earlier version's fleet: only the record tells its run."""
    (tmp_path / "runtime").mkdir(mode=0o700)
    with (
        contextlib.closing(FleetLock(tmp_path / "runtime", 8040, page="http://localhost")) as lock,
        hold_run(runs / "older"),
    ):
        lock.set_settings_path(runs / "old" / "settings.json")
        assert main(["runs", "prune", "--keep", "0", "--yes"]) == 0
    assert names(runs) == {"old", "older"}


def test_a_link_to_a_run_elsewhere_is_left_alone(runs: Path, tmp_path: Path):
    (runs / "older").rename(tmp_path / "elsewhere")
    (runs / "older").symlink_to(tmp_path / "elsewhere")
    assert main(["runs", "prune", "--keep", "0", "--yes"]) == 0
    assert names(runs) == {"older"}
    assert (tmp_path / "elsewhere" / "checkpoints").is_dir()


@pytest.mark.parametrize("keep", ["-1", "many", "1.5", ""])
def test_an_invalid_number_to_keep_deletes_nothing(
    runs: Path, keep: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        main(["runs", "prune", f"--keep={keep}", "--yes"])
    assert "must be an integer ≥ 0" in capsys.readouterr().err
    assert len(names(runs)) == 3


def test_no_runs_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == "0 runs (0.0 MB) in runs\n"
