"""Old runs are deleted, and none that a fleet uses."""

from pathlib import Path

import pytest

from metabonk.errors import StartError
from metabonk.runs.layout import run_folders
from metabonk.runs.pruning import delete_run, hold_run, is_in_use, runs_to_prune
from tests.runs.test_layout import run


def test_the_newest_runs_with_a_checkpoint_are_kept_and_whatever_is_newer(tmp_path: Path):
    for name, age, checkpoint in (
        ("failed", 1, False),
        ("newest", 2, True),
        ("brief", 3, False),
        ("older", 4, True),
        ("oldest", 5, True),
    ):
        run(tmp_path, name, age=age, checkpoint=checkpoint)
    folders = run_folders(tmp_path / "runs")

    def pruned(keep: int) -> list[str]:
        return [folder.name for folder in runs_to_prune(folders, keep)]

    assert pruned(0) == ["failed", "newest", "brief", "older", "oldest"]
    assert pruned(1) == ["brief", "older", "oldest"]
    assert pruned(2) == ["oldest"]
    assert pruned(3) == pruned(9) == []


def test_a_run_is_deleted_with_all_it_holds_and_nothing_else(tmp_path: Path):
    run_dir, other = run(tmp_path, "old", age=1), run(tmp_path, "other", age=1)
    (run_dir / "link").symlink_to(other)
    (run_dir / "metabonk.sqlite").touch()
    assert delete_run(run_dir)
    assert list((tmp_path / "runs").iterdir()) == [other]
    assert (other / "checkpoints" / "00001.safetensors").exists()


def test_a_run_in_use_is_not_deleted(tmp_path: Path):
    run_dir = run(tmp_path, "now", age=1)
    with hold_run(run_dir), hold_run(run_dir):
        assert is_in_use(run_dir)
        assert not delete_run(run_dir)
    assert not is_in_use(run_dir)
    assert delete_run(run_dir)


def test_a_run_that_is_being_deleted_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run_dir = run(tmp_path, "old", age=1)

    def resume(folder: Path) -> None:
        with pytest.raises(StartError, match=r"old is being deleted; resume another run"):
            hold_run(run_dir).__enter__()
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", resume)
        with pytest.raises(OSError, match="Input/output error"):
            delete_run(run_dir)
    assert run_folders(tmp_path / "runs") == [run_dir], "it can be deleted later"
    assert delete_run(run_dir)
