"""The example's search, on a real game for a few hundred steps."""

import subprocess
import sys
import tomllib
from pathlib import Path

from metabonk.settings import Settings, read_settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "optuna_search.py"


def test_it_prints_the_settings_of_the_best_trial(tmp_path: Path):
    options = ("--game", "gym:CartPole-v1", "--steps", "1100", "--trials", "2", "--jobs", "2")
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    given = tomllib.loads(done.stdout)
    learning = Settings.model_validate(given).learning
    run_dir = tmp_path / done.stdout.splitlines()[0].rpartition(" ")[2]
    assert len(list((tmp_path / "runs").iterdir())) == 2
    used = read_settings(run_dir / "settings.json").learning
    assert {name: getattr(used, name) for name in given["learning"]} == given["learning"]
    assert learning.batch_size == used.batch_size
