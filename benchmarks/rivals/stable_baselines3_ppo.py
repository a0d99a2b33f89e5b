"""Stable-Baselines3's PPO on a Doom scenario: 8 subprocess environments, NatureCNN on 84×84×1.

Runs in a separate virtual environment. Hyperparameters are those of RL Baselines3 Zoo for pixels
(Atari): 128 steps per environment, 4 epochs, batches of 256. ``VecNormalize`` scales rewards, since
those of Doom have any size; reported returns are the game's.
"""

import argparse
import sys
from pathlib import Path

import gymnasium
import numpy as np
import torch
import vizdoom
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import SubprocVecEnv, VecMonitor, VecNormalize

SIDE = 84
ENVIRONMENTS = 8
EPISODES = 100
"""Episodes in a mean return, as many as the library keeps."""


class Doom(gymnasium.Env):
    """Scenario rendered at MetaBonk's size and observed as 84×84 grayscale."""

    observation_space = gymnasium.spaces.Box(0, 255, (1, SIDE, SIDE), np.uint8)

    def __init__(self, scenario: str, skip: int, seed: int) -> None:
        self._skip = skip
        self._game = vizdoom.DoomGame()
        self._game.load_config(str(Path(vizdoom.scenarios_path) / f"{scenario}.cfg"))
        self._game.set_window_visible(False)
        self._game.set_screen_format(vizdoom.ScreenFormat.GRAY8)
        self._game.set_screen_resolution(vizdoom.ScreenResolution.RES_256X144)
        self._game.set_seed(seed)
        self._game.init()
        buttons = len(self._game.get_available_buttons())
        self._actions = [[0] * buttons, *np.eye(buttons, dtype=int).tolist()]
        self.action_space = gymnasium.spaces.Discrete(len(self._actions))
        self._observation = np.zeros((1, SIDE, SIDE), np.uint8)

    def reset(self, *, seed=None, options=None):
        self._game.new_episode()
        self._observe()
        return self._observation, {}

    def step(self, action):
        reward = self._game.make_action(self._actions[action], self._skip)
        finished = self._game.is_episode_finished()
        if not finished:
            self._observe()
        timed_out = finished and self._game.is_episode_timeout_reached()
        return self._observation, reward, finished and not timed_out, timed_out, {}

    def close(self):
        self._game.close()

    def _observe(self) -> None:
        image = Image.fromarray(self._game.get_state().screen_buffer)
        small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
        self._observation = np.asarray(small)[None]


class Reports(BaseCallback):
    """Prints steps and mean return after every update."""

    def _on_rollout_start(self) -> None:
        mean_return = ""
        if len(self.model.ep_info_buffer) == EPISODES:
            mean_return = f" return {np.mean([each['r'] for each in self.model.ep_info_buffer])}"
        sys.stdout.write(f"steps {self.num_timesteps}{mean_return}\n")
        sys.stdout.flush()

    def _on_step(self) -> bool:
        return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenario", required=True)
    parser.add_argument("--skip", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    makers = [
        lambda seed=seed: Doom(arguments.scenario, arguments.skip, seed)
        for seed in range(ENVIRONMENTS)
    ]
    monitored = VecMonitor(SubprocVecEnv(makers, start_method="fork"))
    environments = VecNormalize(monitored, norm_obs=False)
    model = PPO(
        "CnnPolicy",
        environments,
        n_steps=128,
        n_epochs=4,
        batch_size=256,
        learning_rate=2.5e-4,
        clip_range=0.1,
        ent_coef=0.01,
        vf_coef=0.5,
        seed=0,
    )
    model.learn(10**9, callback=Reports())


if __name__ == "__main__":
    main()
