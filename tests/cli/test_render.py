"""``metabonk render``."""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import av
import psutil
import pytest

from metabonk.cli import render
from metabonk.errors import CheckpointError, EncodingError, EpisodeDiffers, ReplayError, WireError
from metabonk.messages.replays import ReplaySaliency, ReplayTrack
from metabonk.policy.episode_log import EpisodeLog
from metabonk.replays.rematch import play_rematch
from metabonk.runs.checkpoints import trained_weights
from metabonk.settings.learning import Learning
from tests.support.processes import kill_tree
from tests.support.recorded_episodes import record
from tests.support.replayable_runs import write_replayable_run
from tests.support.trained_runs import write_run
from tests.support.waiting import until

GAME = "gym:CartPole-v1"
DOOM = "doom:basic"


@pytest.fixture(scope="module")
def log() -> EpisodeLog:
    return record(GAME)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with a checkpoint."""
    return write_run(tmp_path_factory.mktemp("render"), GAME)


def command(folder: Path, run_dir: Path, log: bytes, *options: str) -> list[str]:
    (folder / "episode.log").write_bytes(log)
    return [
        *("--run", str(run_dir), "--log", str(folder / "episode.log")),
        *("--size", "160x96", "--video", str(folder / "video.mp4"), *options),
    ]


def run(folder: Path, run_dir: Path, log: bytes, *options: str) -> int:
    parser = argparse.ArgumentParser()
    render.add_arguments(parser)
    return render.run(parser.parse_args(command(folder, run_dir, log, *options)))


def outcome(folder: Path) -> Any:
    return json.loads((folder / "video.mp4.json").read_bytes())


def frames(file: Path) -> int:
    with av.open(file) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_replay_has_a_video_a_track_and_an_outcome(
    tmp_path: Path, run_dir: Path, log: EpisodeLog
):
    assert run(tmp_path, run_dir, log.to_bytes()) == 0
    assert outcome(tmp_path) == {"outcome": "equal", "message": None, "at_decision": None}
    track = ReplayTrack.model_validate_json((tmp_path / "video.mp4.track").read_bytes())
    assert (track.game, track.total_reward, len(track.times)) == (GAME, log.total_reward, len(log))
    assert track.no_saliency is not None
    assert track.no_saliency.endswith("the policy observes numbers, not images")
    assert (tmp_path / "video.mp4.saliency").read_bytes() == b""
    assert frames(tmp_path / "video.mp4") == len(log) + 1
    names = {"episode.log", *(f"video.mp4{end}" for end in ("", ".track", ".saliency", ".json"))}
    assert {file.name for file in tmp_path.iterdir()} == names


def test_a_difference_has_an_outcome_and_no_video(tmp_path: Path, run_dir: Path, log: EpisodeLog):
    tampered = dataclasses.replace(log, total_reward=99.0)
    with pytest.raises(EpisodeDiffers) as caught:
        run(tmp_path, run_dir, tampered.to_bytes())
    assert outcome(tmp_path) == {
        "outcome": "different",
        "message": str(caught.value),
        "at_decision": len(log) - 1,
    }
    assert not list(tmp_path.glob("video.mp4*partial"))
    assert not (tmp_path / "video.mp4").exists()


def test_a_damaged_log_is_a_failure(tmp_path: Path, run_dir: Path, log: EpisodeLog):
    with pytest.raises(WireError):
        run(tmp_path, run_dir, log.to_bytes()[:-1])
    assert outcome(tmp_path)["outcome"] == "failed"
    assert "the episode log is damaged" in outcome(tmp_path)["message"]


def test_a_log_that_cannot_be_read_is_a_failure(tmp_path: Path, run_dir: Path, log: EpisodeLog):
    with pytest.raises(ReplayError, match=r"gone\.log can't be read: No such file"):
        run(tmp_path, run_dir, log.to_bytes(), "--log", str(tmp_path / "gone.log"))
    assert outcome(tmp_path)["outcome"] == "failed"


def test_a_full_disk_is_a_failure(tmp_path: Path, run_dir: Path, log: EpisodeLog):
    (tmp_path / "video.mp4.partial").symlink_to("/dev/full")
    with pytest.raises(EncodingError, match="No space left on device"):
        run(tmp_path, run_dir, log.to_bytes())
    assert outcome(tmp_path)["outcome"] == "failed"


def test_a_disk_that_is_full_before_the_track_is_a_failure(
    tmp_path: Path, run_dir: Path, log: EpisodeLog
):
    (tmp_path / "video.mp4.track.partial").symlink_to("/dev/full")
    (tmp_path / "video.mp4.json.partial").symlink_to("/dev/full")
    with pytest.raises(ReplayError, match=r"video\.mp4 can't be written: No space left"):
        run(tmp_path, run_dir, log.to_bytes())
    assert not (tmp_path / "video.mp4.json").exists()


def test_a_rematch_has_the_track_of_the_newest_policy(
    tmp_path: Path, run_dir: Path, log: EpisodeLog
):
    assert run(tmp_path, run_dir, log.to_bytes(), "--rematch") == 0
    track = ReplayTrack.model_validate_json((tmp_path / "video.mp4.track").read_bytes())
    assert track.policy_version == 12
    assert track.chosen != log.actions.tolist()
    assert frames(tmp_path / "video.mp4") == len(track.times) + 1


def saliency(folder: Path) -> list[ReplaySaliency]:
    lines = (folder / "video.mp4.saliency").read_text().splitlines()
    return [ReplaySaliency.model_validate_json(line) for line in lines]


def no_saliency(folder: Path) -> str | None:
    track = (folder / "video.mp4.track").read_bytes()
    return ReplayTrack.model_validate_json(track).no_saliency


def test_saliency_maps_are_of_the_policy_that_played_if_its_checkpoint_is_kept(tmp_path: Path):
    played = record(DOOM)
    run_dir = write_run(tmp_path, DOOM)
    assert run(tmp_path, run_dir, played.to_bytes()) == 0
    assert (saliency(tmp_path), played.policy_version) == ([], 7)
    assert "the checkpoint of policy 7" in str(no_saliency(tmp_path))

    assert run(tmp_path, run_dir, played.to_bytes(), "--rematch") == 0
    of_rematch = saliency(tmp_path)
    assert no_saliency(tmp_path) is None
    assert of_rematch
    assert all(each.cells for each in of_rematch)

    again, _ = play_rematch(played, Learning(), trained_weights(run_dir))
    assert run(tmp_path, run_dir, again.to_bytes()) == 0
    assert saliency(tmp_path) == of_rematch


def test_a_disk_that_is_full_before_the_saliency_maps_is_a_failure(tmp_path: Path):
    run_dir = write_run(tmp_path, DOOM)
    (tmp_path / "video.mp4.saliency").symlink_to("/dev/full")
    with pytest.raises(ReplayError, match=r"video\.mp4 can't be written: No space left"):
        run(tmp_path, run_dir, record(DOOM).to_bytes(), "--rematch")
    assert outcome(tmp_path)["outcome"] == "failed"


def test_a_rematch_without_a_checkpoint_is_a_failure(tmp_path: Path, log: EpisodeLog):
    untrained = write_replayable_run(tmp_path, GAME, [])
    with pytest.raises(CheckpointError, match="has no readable checkpoint"):
        run(tmp_path, untrained, log.to_bytes(), "--rematch")
    assert outcome(tmp_path)["outcome"] == "failed"


def test_the_process_has_the_lowest_priority(tmp_path: Path, run_dir: Path, log: EpisodeLog):
    arguments = command(tmp_path, run_dir, log.to_bytes(), "--parent", str(os.getpid()))
    process = psutil.Popen([sys.executable, "-m", "metabonk.cli.main", "render", *arguments])
    try:
        until("it is nice", lambda: process.nice() == 19, 60)
        assert process.wait() == 0
    finally:
        kill_tree(process)
    assert outcome(tmp_path)["outcome"] == "equal"
