"""``BroadcastVector``: one environment of a simulator that steps many at once."""

import os
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import gymnasium
from gymnasium.vector import VectorEnv

from metabonk.broadcast.announcement import Announcement, usable_fps
from metabonk.broadcast.budget import DrawBudget
from metabonk.broadcast.channel import Channel
from metabonk.broadcast.device_copies import Drawn, StepCopies, as_array, is_on_device
from metabonk.broadcast.pixels import as_frame
from metabonk.broadcast.places import RANK
from metabonk.broadcast.records import (
    EpisodeStart,
    Note,
    encode_note,
    encode_step,
)
from metabonk.broadcast.rendering import render
from metabonk.broadcast.ring_layout import FRAMES, NOTHING
from metabonk.broadcast.values import encode
from metabonk.broadcast.version import metabonk_version

# Gymnasium 0.29 has it by another name.
_VectorWrapper: Any = getattr(gymnasium.vector, "VectorWrapper", None) or getattr(
    gymnasium.vector, "VectorEnvWrapper", object
)

NO_REPEAT = "a batched simulator is drawn where it runs"
NO_ACTION = encode(None)

Outcomes: TypeAlias = tuple[Any, Any, Any, Any, dict[str, Any]]


class BroadcastVector(_VectorWrapper):  # type: ignore[misc]
    """Shows one environment of a batched simulator, and changes nothing about them.

    It is drawn here, within the budget, and only while somebody watches. Rewards and images may be
    numpy's, or PyTorch's on a GPU, for which a step never waits: they are shown a step or more
    later. Whatever fails ends broadcasting with a warning, and not training.
    ``METABONK_BROADCAST=0`` in the environment switches it off.

    Args:
        envs: a Gymnasium vector environment, or anything that is stepped as one.
        index: of the environment that is shown.
        name: on the page; ``{rank}`` is the lowest number that is free. None: that of the
            environment.
        frames: returns the newest images, of all environments or of this one; None: ``render``
            does.
        budget: share of this process's time that drawing may take, 0 to 1.

    Raises:
        ValueError: an option has no such value.
    """

    def __init__(
        self,
        envs: Any,
        index: int = 0,
        *,
        name: str | None = None,
        frames: Callable[[], Any] | None = None,
        budget: float = 0.03,
    ) -> None:
        count = int(envs.num_envs)
        if not 0 <= index < count:
            raise ValueError(f"index of BroadcastVector is {index!r}; allowed: 0 … {count - 1}")
        if not 0 <= budget <= 1:
            raise ValueError(f"budget of BroadcastVector is {budget!r}; allowed: 0 … 1")
        if isinstance(envs, VectorEnv):
            super().__init__(envs)
        else:
            self.env = envs
            self._observation_space = self._action_space = self._metadata = None
            self._single_observation_space = self._single_action_space = None
        self._index = index
        self._count = count
        self._name = name
        self._frames = frames
        self._channel = Channel()
        self._fps = usable_fps((getattr(envs, "metadata", None) or {}).get("render_fps"))
        self._budget = DrawBudget(budget, self._fps, time.monotonic())
        self._share = budget
        self._can_draw = True
        self._episodes = 0
        self._is_over = False
        self._copies: StepCopies | None = None

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environments."""
        self._channel.attempt(self._start, options)
        return self.env.reset(seed=seed, options=options)  # type: ignore[no-any-return]

    def step(self, actions: Any) -> Outcomes:
        """Take a step of all environments."""
        outcome: Outcomes = self.env.step(actions)
        if self._channel.ring.wanted[0]:
            self._channel.attempt(self._show, outcome)
        return outcome

    def close(self, **kwargs: Any) -> None:
        """Close the environments, and take this one off the page."""
        self._channel.attempt(self._channel.close)
        self.env.close(**kwargs)

    def _announce(self) -> Announcement:
        spec = getattr(self.env, "spec", None)
        inner = getattr(self.env, "unwrapped", self.env)
        identity = type(inner).__name__ if spec is None else spec.id
        return Announcement(
            name=f"{identity}-{RANK}" if self._name is None else self._name,
            kind="environment",
            version=metabonk_version(),
            pid=os.getpid(),
            fps=self._fps,
            draw="inline",
            speed="now",
            budget=self._share,
            no_recipe=NO_REPEAT,
        )

    def _start(self, options: dict[str, Any] | None) -> None:
        self._channel.open(self._announce)
        self._copies, self._is_over = None, False
        mask = (options or {}).get("reset_mask")
        if self._channel.ring.demand and (mask is None or mask[self._index]):
            self._begin()

    def _show(self, outcome: Outcomes) -> None:
        demand = self._channel.ring.demand
        if demand is NOTHING:
            self._copies, self._is_over = None, False
            return
        mine = tuple(each[self._index] for each in outcome[1:4])
        drawn = self._draw() if demand is FRAMES else None
        has_image_on_device = drawn is not None and is_on_device(drawn.image)
        if not (self._copies or is_on_device(mine[0]) or has_image_on_device):
            reward, *ends = (as_array(each) for each in mine)
            self._add_step(float(reward), *map(bool, ends))
            self._send(drawn)
            return
        if self._copies is None:
            self._copies = StepCopies()
        for steps, arrived in self._copies.take():
            for step in steps:
                self._add_step(*step)
            self._send(arrived)
        self._copies.add(mine, drawn)

    def _add_step(self, reward: float, terminated: bool, truncated: bool) -> None:
        if self._is_over:
            self._is_over = False
            self._begin()
            return
        record = encode_step(NO_ACTION, reward, terminated, truncated)
        self._channel.add(record, len(record))
        if terminated or truncated:
            self._channel.end_episode()
            if self._reset_by == "NextStep":
                self._is_over = True
            elif self._reset_by != "Disabled":
                self._begin()

    def _begin(self) -> None:
        self._channel.add(EpisodeStart(self._episodes, None, None, no_repeat=NO_REPEAT))
        self._episodes += 1

    @property
    def _reset_by(self) -> str:
        """Value of Gymnasium's ``AutoresetMode``; simulators that don't know it: the same step."""
        mode = (getattr(self.env, "metadata", None) or {}).get("autoreset_mode", "SameStep")
        return str(getattr(mode, "value", mode))

    def _draw(self) -> Drawn | None:
        """Return an image if it is its turn."""
        began = time.monotonic()
        if not self._can_draw or not self._budget.is_due(began):
            return None
        images = render(self.env) if self._frames is None else self._frames()
        image = None if images is None else self._of_mine(images)
        if image is None:
            self._can_draw = False
            note = encode_note(Note("it has no image: neither render() nor frames returns one"))
            self._channel.add(note, len(note))
            return None
        ended = time.monotonic()
        self._budget.drew(began, ended)
        return Drawn(image, began, ended - began)

    def _of_mine(self, images: Any) -> Any:
        if isinstance(images, (list, tuple)):
            if not images:
                return None
            return images[self._index] if len(images) == self._count else images[-1]
        return images[self._index] if getattr(images, "ndim", 0) == 4 else images

    def _send(self, drawn: Drawn | None) -> None:
        if drawn is not None:
            self._channel.send_frame(as_frame(as_array(drawn.image)), drawn.at, drawn.took_s)
