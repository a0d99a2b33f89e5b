"""PPO of Stable-Baselines3 in four processes, with what the policy thinks."""

from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv

import metabonk
from metabonk.sb3 import Thoughts

if __name__ == "__main__":
    envs = make_vec_env(
        "CartPole-v1", 4, wrapper_class=metabonk.Broadcast, vec_env_cls=SubprocVecEnv
    )
    PPO("MlpPolicy", envs, device="cpu").learn(100_000, callback=Thoughts())
