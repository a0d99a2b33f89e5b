"""Drawing in a process that is not MetaBonk's own."""

import signal
import subprocess
import sys

TRAINER = """
import signal
import gymnasium
from metabonk.broadcast.rendering import render

environment = gymnasium.make("CartPole-v1", render_mode="rgb_array")
environment.reset(seed=0)
assert render(environment).shape == (400, 600, 3)
print("drawn", flush=True)
signal.pause()
"""


def test_a_process_that_has_drawn_is_still_ended_by_sigterm():
    with subprocess.Popen([sys.executable, "-c", TRAINER], stdout=subprocess.PIPE) as trainer:
        try:
            assert trainer.stdout is not None and trainer.stdout.readline() == b"drawn\n"
            trainer.terminate()
            assert trainer.wait(20) == -signal.SIGTERM
        finally:
            trainer.kill()
