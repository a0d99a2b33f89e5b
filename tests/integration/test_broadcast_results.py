"""Results of a training are the same to the bit, whoever watches."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from metabonk.broadcast.thought_slot import ThoughtSlot
from tests.support.hub import Place, place
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

SCRIPT = """
import hashlib, sys
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
import metabonk
from metabonk.sb3 import Thoughts

torch.set_num_threads(1)
is_shown = sys.argv[1] == "shown"
wrapper = metabonk.Broadcast if is_shown else None
envs = make_vec_env("CartPole-v1", 2, wrapper_class=wrapper, monitor_dir=sys.argv[1])
model = PPO("MlpPolicy", envs, n_steps=256, seed=3, device="cpu")
envs.reset()
print("ready", flush=True)
input()
model.set_random_seed(3)
model.learn(4_096, callback=Thoughts() if is_shown else None)
parameters = b"".join(each.detach().numpy().tobytes() for each in model.policy.parameters())
print(hashlib.sha256(parameters).hexdigest(), flush=True)
input()
"""


def start(here: Place, how: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, how],
        cwd=here.folder,
        env=here.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    here.trainings.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process: "subprocess.Popen[str]", folder: Path) -> tuple[str, list[list[str]]]:
    """Return the digest of what was learned, and the returns and lengths of all episodes."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    digest = process.stdout.readline().strip()
    episodes = [
        line.rpartition(",")[0]  # Without the time.
        for file in sorted(folder.glob("*.csv"))
        for line in file.read_text().splitlines()[2:]
    ]
    return digest, [each.split(",") for each in episodes]


def is_watched(ring: Path) -> bool:
    with contextlib.closing(ThoughtSlot(ring)) as slot:
        return slot.is_wanted


def test_ppo_learns_the_same_while_a_hub_shows_it(tmp_path: Path):
    with place(tmp_path) as here:
        plain = finish(start(here, "plain"), tmp_path / "plain")
        assert len(plain[1]) > 50
        shown = start(here, "shown")
        rings = list(here.rings.glob("*.ring"))
        assert len(rings) == 2
        until("both are watched", lambda: all(map(is_watched, rings)), 60)
        assert finish(shown, tmp_path / "shown") == plain

        def was_shown() -> bool:
            return any(guest.frames_ok and guest.episode for guest in here.guests().values())

        until("episodes were shown", was_shown, 30)
