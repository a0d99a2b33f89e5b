"""Stable-Baselines3's PPO on a Gymnasium environment, with its tuned hyperparameters.

Runs in a separate virtual environment. The hyperparameters are those of RL Baselines3 Zoo,
``hyperparams/ppo.yml`` (https://github.com/DLR-RM/rl-baselines3-zoo), for the newest version of
each environment there. MiniGrid-Empty has none and gets those of DoorKey. ``linear`` is the Zoo's
``lin_…``: a value that falls to zero over the budget of steps.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize
from torch import nn

EPISODES = 100
"""Episodes in a mean return, as many as the library keeps."""


class Recipe(NamedTuple):
    """An entry of the Zoo.

    Attributes:
        steps: budget, which schedules depend on.
        n_envs: environments, in one process.
        normalize: observations and rewards by their running statistics.
        settings: of PPO.
    """

    steps: float
    n_envs: int
    normalize: bool
    settings: dict[str, Any]


def linear(value: float) -> Callable[[float], float]:
    """Return a schedule from ``value`` to zero."""
    return lambda remaining: remaining * value


MINIGRID = Recipe(
    1e5,
    8,
    True,
    {
        "n_steps": 128,
        "batch_size": 64,
        "gae_lambda": 0.95,
        "gamma": 0.99,
        "n_epochs": 10,
        "ent_coef": 0.0,
        "learning_rate": 2.5e-4,
        "clip_range": 0.2,
    },
)
RECIPES = {
    "CartPole-v1": Recipe(
        1e5,
        8,
        False,
        {
            "n_steps": 32,
            "batch_size": 256,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "n_epochs": 20,
            "ent_coef": 0.0,
            "learning_rate": linear(0.001),
            "clip_range": linear(0.2),
        },
    ),
    "Acrobot-v1": Recipe(
        1e6,
        16,
        True,
        {"n_steps": 256, "gae_lambda": 0.94, "gamma": 0.99, "n_epochs": 4, "ent_coef": 0.0},
    ),
    "LunarLander-v3": Recipe(
        1e6,
        16,
        False,
        {
            "n_steps": 1024,
            "batch_size": 64,
            "gae_lambda": 0.98,
            "gamma": 0.999,
            "n_epochs": 4,
            "ent_coef": 0.01,
        },
    ),
    "Pendulum-v1": Recipe(
        1e5,
        4,
        False,
        {
            "n_steps": 1024,
            "gae_lambda": 0.95,
            "gamma": 0.9,
            "n_epochs": 10,
            "ent_coef": 0.0,
            "learning_rate": 1e-3,
            "clip_range": 0.2,
            "use_sde": True,
            "sde_sample_freq": 4,
        },
    ),
    "MiniGrid-Empty-5x5-v0": MINIGRID,
    "MiniGrid-DoorKey-5x5-v0": MINIGRID,
    "ALE/Pong-v5": Recipe(
        1e7,
        8,
        False,
        {
            "n_steps": 128,
            "n_epochs": 4,
            "batch_size": 256,
            "learning_rate": linear(2.5e-4),
            "clip_range": linear(0.1),
            "vf_coef": 0.5,
            "ent_coef": 0.01,
        },
    ),
    "HalfCheetah-v5": Recipe(
        1e6,
        1,
        True,
        {
            "batch_size": 64,
            "n_steps": 512,
            "gamma": 0.98,
            "learning_rate": 2.0633e-05,
            "ent_coef": 0.000401762,
            "clip_range": 0.1,
            "n_epochs": 20,
            "gae_lambda": 0.92,
            "max_grad_norm": 0.8,
            "vf_coef": 0.58096,
            "policy_kwargs": {
                "log_std_init": -2,
                "ortho_init": False,
                "activation_fn": nn.ReLU,
                "net_arch": {"pi": [256, 256], "vf": [256, 256]},
            },
        },
    ),
}


class Reports(BaseCallback):
    """Prints steps and mean return after every update."""

    def _on_rollout_start(self) -> None:
        mean_return = ""
        if len(self.model.ep_info_buffer) == EPISODES:
            total = sum(each["r"] for each in self.model.ep_info_buffer)
            mean_return = f" return {total / EPISODES}"
        sys.stdout.write(f"steps {self.num_timesteps}{mean_return}\n")
        sys.stdout.flush()

    _on_training_end = _on_rollout_start

    def _on_step(self) -> bool:
        return True


def make_environments(name: str, recipe: Recipe, seed: int) -> VecEnv:
    """Return the environments of a recipe, wrapped as the Zoo does it."""
    if name.startswith("ALE/"):
        import ale_py  # noqa: PLC0415

        gymnasium.register_envs(ale_py)
        # The wrapper skips frames itself.
        atari = make_atari_env(name, recipe.n_envs, seed, env_kwargs={"frameskip": 1})
        return VecFrameStack(atari, 4)
    wrapper = None
    if name.startswith("MiniGrid-"):
        from minigrid.wrappers import FlatObsWrapper as wrapper  # noqa: PLC0415
    environments = make_vec_env(name, recipe.n_envs, seed, wrapper_class=wrapper)
    if not recipe.normalize:
        return environments
    return VecNormalize(environments, gamma=recipe.settings["gamma"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--environment", required=True, choices=sorted(RECIPES))
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    name = arguments.environment
    recipe = RECIPES[name]
    policy = "CnnPolicy" if name.startswith("ALE/") else "MlpPolicy"
    environments = make_environments(name, recipe, arguments.seed)
    model = PPO(policy, environments, seed=arguments.seed, device="cpu", **recipe.settings)
    model.learn(int(recipe.steps), callback=Reports())


if __name__ == "__main__":
    main()
