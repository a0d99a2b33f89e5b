"""PPO of RLlib with four environments in two processes."""

import gymnasium
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.registry import register_env

import metabonk

register_env("broadcast", lambda config: metabonk.Broadcast(gymnasium.make("CartPole-v1")))
config = PPOConfig().environment("broadcast")
config.env_runners(num_env_runners=2, num_envs_per_env_runner=2)
algorithm = config.build_algo()
for _ in range(100):
    algorithm.train()
