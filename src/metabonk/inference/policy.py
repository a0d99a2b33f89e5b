"""A trained policy that plays an environment which its caller owns."""

import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metabonk.errors import PolicyError
from metabonk.games.gym_observation import FrameStack
from metabonk.games.preprocessing import with_action
from metabonk.inference.trained import Trained, load_trained
from metabonk.policy.action_choice import choose
from metabonk.runs.layout import NEWEST


def load_policy(
    run: str | os.PathLike[str] = NEWEST, *, best: bool = False, seed: int | None = None
) -> "TrainedPolicy":
    """Load the policy of a run to play its game in your own program.

    Args:
        run: name of a run in ``./runs``, its folder, or ``newest``.
        best: use the checkpoint of the best mean return, not the newest.
        seed: of sampled actions; None: another one each time.

    Raises:
        MetaBonkError: there is no such run or checkpoint, or its game can't be played here.
    """
    return TrainedPolicy(load_trained(run, best=best), seed)


class TrainedPolicy:
    """A policy that plays one environment, on the CPU.

    It takes what the environment itself returns: the observation of a Gymnasium environment, or its
    ``render()`` where the policy was trained on drawn frames; for Doom a frame of ViZDoom,
    ``H×W×3`` uint8 RGB of any size. Scaling, stacking and normalization are done here.

    Attributes:
        game: id of the game that it was trained on.
        settings: of its run.
        version: number of updates behind its weights.
        action_names: for display: per discrete action, option of each choice, or axis.
    """

    def __init__(self, trained: Trained, seed: int | None = None) -> None:
        self.settings = trained.settings
        self.version = trained.version
        self.game = trained.interface.description.id
        self.action_names = trained.interface.description.action_names
        self._interface = trained.interface
        self._network = trained.network
        self._stack = FrameStack(trained.interface.frame_stack)
        self._random = np.random.default_rng(seed)
        self._memory: Tensor | None = None
        self._action: int | None = None
        self._probabilities: NDArray[np.float32] = np.zeros(0, np.float32)
        self._value = 0.0

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probability of every option at the last ``act``, ``[A]``; A is 0 for continuous actions.

        The options of simultaneous choices follow each other.
        """
        return self._probabilities

    @property
    def value(self) -> float:
        """Discounted return expected at the last ``act``, in the game's reward units."""
        return self._value

    def reset(self) -> None:
        """Forget the last episode: the recurrent state and stacked images.

        Call it whenever the environment is reset.
        """
        self._memory = self._action = None
        self._stack.reset()

    def act(self, observation: Any, *, greedy: bool = True) -> Any:
        """Choose an action.

        Args:
            observation: as the environment returned it.
            greedy: choose the most likely action; otherwise sample one, as in training.

        Returns:
            The action as the environment takes it: an argument of ``env.step``, or the list of
            buttons for ViZDoom's ``make_action``.

        Raises:
            PolicyError: the observation is not one of this game.
        """
        try:
            image = self._interface.observe(observation)
        except ValueError as error:
            raise PolicyError(f"the policy of {self.game} can't see this: {error}") from None
        if self._interface.sees_action:
            image = with_action(image, self._action, len(self.action_names))
        seen = self._stack.push(image)
        with torch.inference_mode():
            output = self._network(torch.from_numpy(np.stack([seen])), self._memory)
            self._value = self._network.denormalize(output.values).item()
        randoms = None if greedy else [self._random]
        actions, _, probabilities = choose(self._network.spec, output.parameters.numpy(), randoms)
        self._probabilities = probabilities[0]
        if self._network.spec.memory:
            self._memory = output.memory
        # An index leaves numpy here; several choices, or axes, stay an array.
        chosen = actions.tolist() if actions.ndim == 1 else actions
        self._action = chosen[0]
        return self._interface.actions.to_env(chosen[0])
