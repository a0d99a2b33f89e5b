"""A simulator that steps a thousand balls at once, on a GPU if there is one."""

import torch

import metabonk

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Balls:
    """Batches in, batches out, in place: as simulators on GPUs do."""

    num_envs = 1000

    def __init__(self):
        self.height = torch.ones(self.num_envs, device=DEVICE)
        self.speed = torch.zeros(self.num_envs, device=DEVICE)

    def reset(self, *, seed=None, options=None):
        """Lift all balls."""
        self.height.uniform_(0.5, 1.0)
        self.speed.zero_()
        return self.height, {}

    def step(self, push):
        """Push each ball, and lift those that have fallen to the ground."""
        self.speed += (push - 1.0) * 0.02
        self.height += self.speed * 0.02
        ended = self.height <= 0
        self.height[ended], self.speed[ended] = 1.0, 0.0
        return self.height, self.height.clone(), ended, torch.zeros_like(ended), {}

    def render(self):
        """Return the image of the first ball, 64×64 gray, on the GPU."""
        rows = torch.linspace(1, 0, 64, device=DEVICE)[:, None].expand(64, 64)
        return ((rows - self.height[0]).abs() < 0.05).to(torch.uint8) * 255

    def close(self):
        """Do nothing."""


envs = metabonk.BroadcastVector(Balls(), index=0)
envs.reset()
for _ in range(100_000):
    envs.step(torch.rand(Balls.num_envs, device=DEVICE))
