"""Rollouts as in CleanRL's ``ppo.py``: Broadcast is the innermost wrapper of each thunk."""

import gymnasium
import torch

import metabonk


def make_env(env_id, seed):
    """Return a function that makes an environment."""

    def thunk():
        env = metabonk.Broadcast(gymnasium.make(env_id))
        env = gymnasium.wrappers.RecordEpisodeStatistics(env)
        env.action_space.seed(seed)
        return env

    return thunk


envs = gymnasium.vector.SyncVectorEnv([make_env("CartPole-v1", seed) for seed in range(4)])
actor, critic = torch.nn.Linear(4, 2), torch.nn.Linear(4, 1)
obs, _ = envs.reset(seed=1)
for _ in range(100_000):
    with torch.no_grad():
        policy = torch.distributions.Categorical(logits=actor(torch.as_tensor(obs)))
        values = critic(torch.as_tensor(obs))
    for env, probabilities, value in zip(envs.envs, policy.probs, values, strict=True):
        env.get_wrapper_attr("think")(probabilities=probabilities, value=value)
    obs, rewards, terminations, truncations, infos = envs.step(policy.sample().numpy())
    # ... and the rest of ppo.py, as it is.
