"""``metabonk eval``."""

import re
from pathlib import Path

import av
import pytest

from metabonk.cli.eval import summary
from metabonk.cli.main import main
from metabonk.games import Observation, Purpose, episode_seed
from metabonk.games.doom import Doom
from tests.support.trained_runs import write_run
from tests.support.unrepeatable import GAME as UNREPEATABLE

GAME = "doom:basic"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a working directory with one run, trained for a single update."""
    folder = tmp_path_factory.mktemp("eval")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setenv("METABONK_LEARNING_BATCH_SIZE", "64")
        patched.setenv("METABONK_STREAM_WIDTH", "256")
        patched.setenv("METABONK_STREAM_HEIGHT", "144")
        assert main(["debug", "--game", GAME, "--steps", "70"]) == 0
    return folder


@pytest.fixture
def run_dir(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    (run_dir,) = Path("runs").iterdir()
    return run_dir


def run_eval(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["eval", *arguments]) == 0
    return capsys.readouterr().out


def test_the_summary_has_mean_deviation_and_extremes():
    assert summary([1.0, 2.0, 3.0, 6.0]) == (
        "return 3.00 ± 2.16 (mean ± standard deviation), min 1.00, max 6.00, 4 episodes"
    )
    assert summary([5.0]).startswith("return 5.00 ± 0.00 ")


def test_the_newest_run_is_played_by_default(run_dir: Path, capsys: pytest.CaptureFixture[str]):
    output = run_eval(capsys, "--episodes", "3").splitlines()
    assert output[0] == f"{run_dir.name}: {GAME}, version 1, 3 episodes"
    returns = [float(re.findall(r"return (\S+),", line)[0]) for line in output[1:4]]
    assert all(-500 <= value <= 101 for value in returns)
    assert output[4] == summary(returns)


@pytest.mark.parametrize("greedy", [False, True])
def test_a_run_is_given_by_name_or_folder_and_a_seed_repeats_it(
    run_dir: Path, greedy: bool, capsys: pytest.CaptureFixture[str]
):
    options = ("--episodes", "2", "--seed", "5", *(["--greedy"] if greedy else []))
    by_name = run_eval(capsys, run_dir.name, *options)
    assert by_name == run_eval(capsys, str(run_dir.absolute()), *options)
    assert by_name != run_eval(capsys, run_dir.name, "--episodes", "2", "--seed", "6")


def test_the_episodes_are_those_of_evaluation_not_of_training(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    seeds: list[int] = []
    reset = Doom.reset

    def recording_reset(game: Doom, seed: int) -> Observation:
        seeds.append(seed)
        return reset(game, seed)

    monkeypatch.setattr(Doom, "reset", recording_reset)
    run_eval(capsys, "--episodes", "1")
    # The episode after the last is begun as well.
    expected = [episode_seed(0, Purpose.EVALUATION, episode=number) for number in range(2)]
    assert seeds == expected


def test_the_video_contains_every_tic_at_the_size_of_the_stream(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "video.mp4"
    output = run_eval(capsys, "--episodes", "1", "--video", str(file))
    steps = int(re.findall(r"(\d+) steps", output)[0])
    with av.open(file) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (256, 144)
        times = [frame.time or 0.0 for frame in container.decode(stream)]
    assert 4 * (steps - 1) <= len(times) <= 4 * steps + 1
    assert times[:9] == pytest.approx([tic / 35 for tic in range(9)], abs=1e-4), "the game's pace"
    assert f"wrote {file}" in output


def test_a_game_that_cannot_be_repeated_has_returns_but_no_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run_dir = write_run(tmp_path, UNREPEATABLE)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["eval", str(run_dir), "--episodes", "2", "--video", "video.mp4"]) == 3
    output = capsys.readouterr()
    assert "2 episodes" in output.out.splitlines()[-1]
    assert "did not come out as it was played, so there is no video of it" in output.err
    assert not list(tmp_path.glob("video*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nine",), "there is no run 'nine' in runs"),
        (("--video", "nowhere/video.mp4"), "nowhere/video.mp4 can't be written"),
    ],
)
def test_an_unknown_run_or_unwritable_video_is_an_error(
    run_dir: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["eval", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_run_without_a_readable_checkpoint_is_an_error(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    damaged = tmp_path / "damaged"
    (damaged / "checkpoints").mkdir(parents=True)
    (damaged / "settings.json").write_bytes((run_dir / "settings.json").read_bytes())
    (damaged / "checkpoints" / "1.safetensors").write_bytes(b"rubbish")
    assert main(["eval", str(damaged)]) == 1
    assert "has no readable checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "least"), [("--episodes", "0", 1), ("--seed", "-1", 0), ("--seed", "x", 0)]
)
def test_a_number_out_of_range_is_rejected(
    option: str, value: str, least: int, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        main(["eval", f"{option}={value}"])
    assert f"must be an integer ≥ {least}, not {value!r}" in capsys.readouterr().err
