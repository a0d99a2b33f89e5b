"""``Broadcast``: the wrapper that shows an environment while it is trained on."""

import math
import os
import time
from typing import Any, SupportsFloat, get_args

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from metabonk.broadcast.action_names import action_names
from metabonk.broadcast.announcement import Announcement, Draw, Recipe, Speed, usable_fps
from metabonk.broadcast.budget import DrawBudget
from metabonk.broadcast.carried import NP_RANDOM, Carrier
from metabonk.broadcast.channel import Channel
from metabonk.broadcast.pixels import as_frame
from metabonk.broadcast.places import RANK
from metabonk.broadcast.recipe import NoRecipe, recipe_of
from metabonk.broadcast.records import (
    SCALARS,
    EpisodeStart,
    Note,
    Thought,
    encode_note,
    encode_start,
    encode_step,
    encode_thought,
)
from metabonk.broadcast.rendering import render
from metabonk.broadcast.ring_layout import FRAMES, NOTHING
from metabonk.broadcast.values import NotEncodable, encode
from metabonk.broadcast.version import metabonk_version

IMAGE_MODES = ("rgb_array", "rgb_array_list")
"""Render modes whose images can be shown."""


START_BYTES = 256
"""Size of an episode's start with a random state, about."""


class Broadcast(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Shows an environment while it is trained on, and changes nothing about it.

    It is announced at its first ``reset``. While nobody watches, a step costs nothing more. Then it
    is drawn from its random state and its actions in another process; if that can't be done, here,
    within the budget. Whatever fails ends broadcasting with a warning, and not training.
    ``METABONK_BROADCAST=0`` in the environment switches it off.

    Args:
        env: to show.
        name: on the page; ``{rank}`` is the lowest number that is free. None: that of the
            environment.
        draw: ``auto``; ``shadow``: only in another process; ``inline``: only here, by ``render``;
            ``observation``: the images that the policy sees.
        budget: share of this process's time that drawing here may take, 0 to 1.
        speed: ``game``: whole episodes at the environment's ``render_fps``, and none of those that
            pass meanwhile; ``now``: the newest step.

    Raises:
        ValueError: an option has no such value.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        name: str | None = None,
        draw: Draw = "auto",
        budget: float = 0.03,
        speed: Speed = "game",
    ) -> None:
        _require(draw in get_args(Draw), "draw", draw, ", ".join(get_args(Draw)))
        _require(speed in get_args(Speed), "speed", speed, ", ".join(get_args(Speed)))
        _require(0 <= budget <= 1, "budget", budget, "0 … 1")
        RecordConstructorArgs.__init__(self, name=name, draw=draw, budget=budget, speed=speed)
        gymnasium.Wrapper.__init__(self, env)
        self._options = name, draw, budget, speed
        self._made_by = env.unwrapped.spec
        self._channel = Channel()
        self._episodes = 0
        self._no_repeat = ""
        self._is_recording = self._wants_frames = False
        self._can_draw = True
        self._budget: DrawBudget | None = None

    @property
    def is_watched(self) -> bool:
        """True if the next thought is shown."""
        return bool(self._channel.ring.wanted[0]) and (self._is_recording or self._wants_frames)

    @property
    def ring_file(self) -> str | None:
        """Path of its ring; None while it has none."""
        ring = self._channel.ring
        return str(ring.file) if ring.is_open else None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        channel = self._channel
        if channel.ring.wanted[0] or channel.is_due:
            channel.attempt(self._start, seed, options)
        else:
            self._episodes += 1
            self._is_recording = self._wants_frames = False
        observation, info = self.env.reset(seed=seed, options=options)
        if self._wants_frames:
            self._channel.attempt(self._draw, observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step of the environment."""
        wanted = self._channel.ring.wanted[0]
        if not wanted or not (self._is_recording or (wanted == FRAMES and self._is_wanted())):
            return self.env.step(action)
        # Before the step, which may change an array.
        is_kept = type(action) in SCALARS
        taken = action if is_kept else self._channel.attempt(self._encode, action)
        outcome = self.env.step(action)
        if taken is not None:
            self._channel.attempt(self._show, taken, outcome)
        return outcome

    def think(
        self,
        *,
        probabilities: Any = None,
        value: SupportsFloat | None = None,
        text: str | None = None,
    ) -> None:
        """Show a thought of the policy, before the step that it leads to.

        Args:
            probabilities: of the actions.
            value: return that is expected.
            text: anything else.
        """
        if self.is_watched:
            self._channel.attempt(self._think, probabilities, value, text)

    def close(self) -> None:
        """Close the environment, and take it off the page."""
        self._channel.attempt(self._channel.close)
        self.env.close()

    def _announce(self) -> Announcement:
        name, draw, budget, speed = self._options
        spec = self._made_by
        identity = type(self.env.unwrapped).__name__ if spec is None else spec.id
        recipe: Recipe | None = None
        no_recipe = f"draw is {draw!r}"
        if draw in ("auto", "shadow"):
            try:
                recipe, no_recipe = recipe_of(self.env, spec), ""
            except NoRecipe as reason:
                no_recipe = str(reason)
        self._no_repeat = no_recipe
        self._carrier = Carrier(self.env)
        return Announcement(
            name=f"{identity}-{RANK}" if name is None else name,
            kind="environment",
            version=metabonk_version(),
            pid=os.getpid(),
            fps=usable_fps((self.env.metadata or {}).get("render_fps")),
            draw=draw,
            speed=speed,
            budget=budget,
            recipe=recipe,
            no_recipe=no_recipe,
            draws_inline=draw != "shadow"
            and (draw == "observation" or self.env.render_mode in IMAGE_MODES),
            actions=action_names(self.env),
        )

    def _start(self, seed: int | None, options: Any) -> None:
        number, self._episodes = self._episodes, self._episodes + 1
        self._channel.open(self._announce)
        self._is_recording = self._is_wanted()
        if self._is_recording:
            self._record_start(number, seed, options)

    def _record_start(self, number: int, seed: int | None, options: Any) -> None:
        if self._no_repeat:
            self._channel.add(EpisodeStart(number, seed, None, no_repeat=self._no_repeat))
            return
        start = EpisodeStart(number, seed, options, self._carrier.capture(seed))
        if options is None and start.carried.keys() <= {NP_RANDOM}:
            self._channel.add(start, START_BYTES)
        else:  # Options may be changed, and states be large.
            record = encode_start(start)
            self._channel.add(record, len(record))

    def _encode(self, action: Any) -> bytes:
        try:
            return encode(action)
        except NotEncodable as error:
            self._no_repeat = f"its actions have {error}"
            return encode(None)

    def _show(
        self,
        action: Any,
        outcome: tuple[Any, SupportsFloat, bool, bool, dict[str, Any]],
    ) -> None:
        observation, reward, terminated, truncated, _ = outcome
        step = action, float(reward), bool(terminated), bool(truncated)
        channel = self._channel
        if (thought := channel.ring.take_thought()) is not None:
            channel.add(thought, len(thought))
        if type(action) is bytes:
            record = encode_step(*step)
            is_written = channel.add(record, len(record))
        else:
            is_written = channel.add(step)
        if is_written:
            # An episode that is not recorded to its end has a gap if it is wanted again.
            self._is_recording = self._is_wanted() and self._is_recording
        elif terminated or truncated:
            channel.end_episode()
        if self._wants_frames:
            self._draw(observation)

    def _is_wanted(self) -> bool:
        """Ask whether anything is wanted, and remember whether frames are."""
        demand = self._channel.ring.demand
        self._wants_frames = demand is FRAMES
        return demand is not NOTHING

    def _think(self, probabilities: Any, value: SupportsFloat | None, text: str | None) -> None:
        if probabilities is not None:
            probabilities = np.asarray(probabilities, np.float32).ravel()
        thought = Thought(probabilities, None if value is None else float(value), text)
        record = encode_thought(thought)
        self._channel.add(record, len(record))

    def _draw(self, observation: Any) -> None:
        """Draw a frame, if it is its turn."""
        if not self._can_draw:
            return
        began = time.monotonic()
        if self._budget is None:
            fps = usable_fps((self.env.metadata or {}).get("render_fps"))
            self._budget = DrawBudget(self._options[2], fps, began)
        if not self._budget.is_due(began):
            return
        # Asked here as well: each frame writes the batch, which is never due by itself then.
        self._is_recording = self._is_wanted() and self._is_recording
        if not self._wants_frames:
            return
        image = self._image(observation)
        if image is None:
            self._can_draw = False
            self._note(
                "it can't be drawn in its own process, since it was made without "
                "render_mode='rgb_array'"
            )
            return
        self._channel.send_frame(as_frame(image), began, time.monotonic() - began)
        self._budget.drew(began, time.monotonic())

    def _image(self, observation: Any) -> Any:
        if self._options[1] == "observation":
            return observation
        if self._options[1] == "shadow" or self.env.render_mode not in IMAGE_MODES:
            return None
        image = render(self.env)
        return image[-1] if isinstance(image, list) and image else image

    def _note(self, text: str) -> None:
        self._channel.add(encode_note(Note(text)))


def _require(is_valid: bool, name: str, value: object, allowed: str) -> None:
    if not is_valid or (isinstance(value, float) and math.isnan(value)):
        raise ValueError(f"{name} of Broadcast is {value!r}; allowed: {allowed}")
