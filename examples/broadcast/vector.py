"""Gymnasium's vector environments, each environment in a process."""

import gymnasium

import metabonk

if __name__ == "__main__":
    envs = gymnasium.make_vec("CartPole-v1", 8, "async", wrappers=[metabonk.Broadcast])
    envs.reset(seed=1)
    for _ in range(100_000):
        envs.step(envs.action_space.sample())
    envs.close()
