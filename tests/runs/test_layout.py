import os
from pathlib import Path

import pytest

from metabonk.errors import StartError
from metabonk.messages.workers import Mode
from metabonk.runs.catalog import RunCatalog
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import (
    NEWEST,
    discard,
    find_run,
    game_of,
    new_run,
    save_settings,
)
from metabonk.settings import Settings, read_settings


def settings(folder: Path, **given: object) -> Settings:
    return Settings.model_validate({"paths": {"runs": folder / "runs"}, **given})


def run(folder: Path, name: str, *, age: float, checkpoint: bool = True) -> Path:
    run_dir = folder / "runs" / name
    run_dir.mkdir(parents=True)
    file = save_settings(settings(folder, game=f"doom:{name}"), run_dir)
    if checkpoint:
        (run_dir / "checkpoints").mkdir()
        (run_dir / "checkpoints" / "00001.safetensors").touch()
    os.utime(file, (1e9 - age, 1e9 - age))
    return run_dir


def test_two_runs_of_the_same_second_have_separate_folders(tmp_path: Path):
    first, second = (new_run(settings(tmp_path, game="gym:A/b v1")) for _ in range(2))
    assert first != second
    assert first.name.endswith("-gym-a-b-v1")
    assert first.is_dir() and second.is_dir()


def test_a_folder_that_cannot_be_created_names_the_setting(tmp_path: Path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StartError, match="METABONK_PATHS_RUNS"):
        new_run(settings(tmp_path))


def test_the_newest_run_is_the_one_modified_last_that_has_a_checkpoint(tmp_path: Path):
    run(tmp_path, "older", age=100)
    newer = run(tmp_path, "newer", age=50)
    run(tmp_path, "empty", age=1, checkpoint=False)
    for mode in Mode:
        assert find_run(tmp_path / "runs", NEWEST, mode=mode) == newer
    assert game_of(newer) == "doom:newer"


def test_reading_a_runs_episodes_does_not_make_it_the_newest(tmp_path: Path):
    older, newer = run(tmp_path, "older", age=100), run(tmp_path, "newer", age=50)
    for folder, age in ((older, 100), (newer, 50)):
        EpisodeStore(folder, "doom:basic").close()
        os.utime(folder / "metabonk.sqlite", (1e9 - age, 1e9 - age))
    assert len(RunCatalog(tmp_path / "runs").summaries()) == 2
    RunCatalog(tmp_path / "runs").episodes("older", 1)
    assert find_run(tmp_path / "runs", NEWEST, mode=Mode.TRAIN) == newer


def test_a_run_is_found_by_name(tmp_path: Path):
    older = run(tmp_path, "older", age=100, checkpoint=False)
    run(tmp_path, "newer", age=50)
    assert find_run(tmp_path / "runs", "older", mode=Mode.TRAIN) == older
    with pytest.raises(StartError, match="older has no checkpoint to play"):
        find_run(tmp_path / "runs", "older", mode=Mode.PLAY)


@pytest.mark.parametrize("name", ["none", "../runs/newer", "", "/"])
def test_an_unknown_run_lists_the_known_ones(tmp_path: Path, name: str):
    run(tmp_path, "newer", age=50)
    with pytest.raises(StartError, match="Runs: newer"):
        find_run(tmp_path / "runs", name, mode=Mode.TRAIN)


def test_without_a_run_there_is_nothing_to_resume(tmp_path: Path):
    with pytest.raises(StartError, match="no run with a checkpoint"):
        find_run(tmp_path / "runs", NEWEST, mode=Mode.TRAIN)


def test_playing_leaves_the_settings_of_the_training_unchanged(tmp_path: Path):
    run_dir = run(tmp_path, "trained", age=0)
    before = (run_dir / "settings.json").read_text()
    file = save_settings(settings(tmp_path, mode="play"), run_dir)
    assert read_settings(file).mode is Mode.PLAY
    assert (run_dir / "settings.json").read_text() == before


def test_a_run_without_a_checkpoint_is_discarded_and_no_other(tmp_path: Path):
    trained = run(tmp_path, "trained", age=0)
    empty = run(tmp_path, "empty", age=0, checkpoint=False)
    for run_dir in (trained, empty):
        discard(run_dir)
    assert trained.is_dir() and not empty.exists()
