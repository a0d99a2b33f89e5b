"""Search for learning settings of a game with Optuna (pip install optuna).

    .venv/bin/python examples/optuna_search.py --game gym:CartPole-v1 --trials 40 --jobs 2

Each trial is a ``metabonk debug`` of its own, in one thread, with the settings in its environment:
trials of the same seed are comparable, and several run at once. Unpromising ones are stopped early.
Every trial leaves an ordinary run, to evaluate or export.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import optuna

METABONK = Path(sys.executable).with_name("metabonk")
UPDATE = re.compile(r"(\d+) steps .* return +(-?[\d.]+) of \d+ episodes")
RUN = re.compile(r"the run is in (.+)")
WINDOW = 10
"""Updates whose mean return is the value of a trial."""


def suggest(trial: optuna.Trial) -> dict[str, object]:
    """Choose settings of ``[learning]``; this is the part to adapt."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [256, 512, 1024]),
        "epochs": trial.suggest_int("epochs", 2, 10),
        "gamma": trial.suggest_categorical("gamma", [0.98, 0.99, 0.995]),
        "entropy_coefficient": trial.suggest_float("entropy_coefficient", 1e-4, 3e-2, log=True),
    }


def run_trial(trial: optuna.Trial, game: str, steps: int, seed: int) -> float:
    """Train with the suggested settings; return the mean return at the end.

    Raises:
        optuna.TrialPruned: it is worse than most others at this step.
        RuntimeError: it could not be trained.
    """
    learning = {f"METABONK_LEARNING_{k.upper()}": str(v) for k, v in suggest(trial).items()}
    returns: list[float] = []
    with subprocess.Popen(
        [METABONK, "debug", "--game", game, "--steps", str(steps), "--seed", str(seed)],
        env={**os.environ, **learning},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for step, mean in read_updates(process, trial):
            returns.append(mean)
            trial.report(fmean(returns[-WINDOW:]), step)
            if trial.should_prune():
                process.terminate()
                raise optuna.TrialPruned
    if process.returncode or not returns:
        raise RuntimeError(f"no episode ended in {steps} steps, or the line above says why")
    return fmean(returns[-WINDOW:])


def read_updates(
    process: subprocess.Popen[str], trial: optuna.Trial
) -> Iterator[tuple[int, float]]:
    """Yield the step and the mean return of each update, and note the run's folder at the end."""
    assert process.stdout is not None
    for line in process.stdout:
        if update := UPDATE.search(line):
            yield int(update[1]), float(update[2])
        elif run := RUN.search(line):
            trial.set_user_attr("run", run[1])


def main() -> None:
    """Search, and print the best settings as a part of ``metabonk.toml``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--game", default="gym:CartPole-v1", metavar="ID")
    parser.add_argument("--steps", type=int, default=30_000, metavar="N", help="of each trial")
    parser.add_argument("--trials", type=int, default=40, metavar="N")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trials at once")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--storage", metavar="URL", help="such as sqlite:///search.db, to resume")
    given = parser.parse_args()
    study = optuna.create_study(
        study_name=given.game,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=given.seed),
        storage=given.storage,
        load_if_exists=True,
    )
    study.optimize(
        lambda trial: run_trial(trial, given.game, given.steps, given.seed),
        n_trials=given.trials,
        n_jobs=given.jobs,
    )
    best = study.best_trial
    print(f"# return {best.value:.1f}, run {best.user_attrs['run']}\n[learning]")
    for name, value in best.params.items():
        print(f"{name} = {value}")


if __name__ == "__main__":
    main()
