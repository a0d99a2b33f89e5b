"""Random states that decide an episode besides its seed and its actions.

What an environment carries from one episode into the next is copied before ``reset``, and put into
the shadow's copy before its own.
"""

import importlib
from typing import Any

import gymnasium
import numpy as np

from metabonk.broadcast.known_wrappers import carried_by, carries, carry_into
from metabonk.errors import WireError

NP_RANDOM = "np_random"
"""State of Gymnasium's random number generator; an environment that was seeded has a new one."""

ALE = "ale"
"""State of the Atari emulator, whose sticky actions have random numbers of their own."""

WRAPPERS = "wrappers"
"""State that wrappers carry from one episode into the next (``known_wrappers``)."""

OWN = "own"
"""Bytes of the environment's own ``get_carried_state``, for its ``set_carried_state``."""


class Carrier:
    """Copies the state of an environment that is about to be reset.

    Args:
        environment: wrapped or not.
    """

    def __init__(self, environment: gymnasium.Env[Any, Any]) -> None:
        self._environment = environment
        self._inner: Any = environment.unwrapped
        # To look for them takes as long as to copy the rest.
        self._has_wrappers = carries(environment)
        self._has_ale = hasattr(self._inner, "ale")
        self._has_own = hasattr(self._inner, "get_carried_state")

    def capture(self, seed: int | None) -> dict[str, Any]:
        """Return the state, for ``values.encode``.

        Args:
            seed: that the environment is about to be reset with.
        """
        carried = dict[str, Any]()
        # A wrapper that carries something may not pass a seed on.
        if seed is None or self._has_wrappers:
            generator = self._inner.np_random
            if isinstance(generator, np.random.Generator):
                carried[NP_RANDOM] = generator.bit_generator.state
        if self._has_wrappers:
            carried[WRAPPERS] = carried_by(self._environment)
        if self._has_ale:
            carried[ALE] = self._inner.ale.cloneSystemState().__getstate__()
        if self._has_own:
            carried[OWN] = bytes(self._inner.get_carried_state())
        return carried


def restore(environment: gymnasium.Env[Any, Any], carried: dict[str, Any]) -> None:
    """Put a captured state into another copy of the environment.

    Raises:
        WireError: it is none, or of another environment.
    """
    inner: Any = environment.unwrapped
    try:
        if (state := carried.get(NP_RANDOM)) is not None:
            inner.np_random = _generator(state)
        if (state := carried.get(ALE)) is not None:
            kind = importlib.import_module("ale_py").ALEState
            ale_state = kind.__new__(kind)
            ale_state.__setstate__(state)
            inner.ale.restoreSystemState(ale_state)
        if (state := carried.get(WRAPPERS)) is not None:
            carry_into(environment, state)
        if (state := carried.get(OWN)) is not None:
            inner.set_carried_state(state)
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise WireError(f"the state that the episode starts from is damaged: {error}") from None


def _generator(state: dict[str, Any]) -> np.random.Generator:
    kind = getattr(np.random, state["bit_generator"])
    if not (isinstance(kind, type) and issubclass(kind, np.random.BitGenerator)):
        raise ValueError(f"{state['bit_generator']} is no bit generator")
    bits = kind()  # The base class raises NotImplementedError, a RuntimeError.
    bits.state = state
    return np.random.Generator(bits)
