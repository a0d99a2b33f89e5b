"""Saliency maps in step with a replay, computed while it is drawn.

A log has no observations, and names the policy version of its last step alone. So the policy of a
checkpoint decides again on what it observes in the repeated episode, and a map counts only where
that gives the logged probabilities and value.
"""

import base64
import contextlib
import logging
from collections.abc import Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from metabonk.errors import MetaBonkError, PolicyError
from metabonk.games import Game, GameDescription, Observation, Transition
from metabonk.messages.replays import ReplaySaliency
from metabonk.policy import Actor, Decision, PolicySpec
from metabonk.policy.episode_log import EpisodeLog, quantized
from metabonk.replays.renderer import opened_game
from metabonk.settings.learning import Learning

log = logging.getLogger(__name__)

PERIOD_S = 0.25
"""Media time between two maps, as in a live stream."""

HEAD_START_S = 1.0
"""Media time that is drawn before the first map: the first frame waits for nothing."""

PROBABILITY_TOLERANCE = 3
"""Difference of a probability, in 255ths. On a GPU, the observation of a live game differs by 1 of
255 (``policy.device_observation``)."""

VALUE_TOLERANCE = 0.02
"""Difference of a value, as a share of the episode's largest: logged values have 8 bits."""

SMALL_VALUE = 1e-3


def why_no_saliency(
    episode: EpisodeLog, description: GameDescription, policy: bytes | Path | None
) -> str | None:
    """Return why an episode has no saliency maps, in a sentence; None if it has.

    Args:
        episode: that is repeated.
        description: of its game.
        policy: see ``SaliencyWriter``.
    """
    if len(description.observation_shape) == 1:
        return "there are no saliency maps, because the policy observes numbers, not images"
    if policy is None:
        return (
            f"there are no saliency maps, because the checkpoint of policy "
            f"{episode.policy_version}, which played this episode, is not kept"
        )
    return None


class SaliencyWriter:
    """Writes the maps of an episode to a file, as ``ReplaySaliency`` in JSON lines.

    A context manager. A policy that can't be used ends the maps, not the replay.

    Args:
        file: to be written.
        episode: that is repeated.
        times: media time of the first frame after each step, seconds.
        description: of the game that is drawn.
        learning: settings of the run.
        policy: that played it: weights for ``Actor.load``, or a file of them; None: no maps.

    Raises:
        OSError: the file can't be written.
    """

    def __init__(
        self,
        file: Path,
        episode: EpisodeLog,
        times: Sequence[float],
        description: GameDescription,
        learning: Learning,
        policy: bytes | Path | None,
    ) -> None:
        self._file = file
        self._episode = episode
        self._times = times
        self._description = description
        self._learning = learning
        self._policy = policy
        self._value_tolerance = SMALL_VALUE + VALUE_TOLERANCE * float(np.abs(episode.values).max())
        self._pending: list[tuple[int, Observation, Transition]] = []
        self._due_s = 0.0
        self._actor: Actor | None = None
        self._opening: Future[_Undrawn] | None = None
        self._has_ended = policy is None
        self._resources = contextlib.ExitStack()
        self._stream = self._resources.enter_context(file.open("wb"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._resources:
            if error is None:
                self._follow(wait=True)
            elif self._opening is not None:
                # What it opens is closed here.
                futures.wait([self._opening])

    def add(self, step: int, observation: Observation, transition: Transition) -> None:
        """Take a step; see ``renderer.StepSink``. Computes a map now and then.

        Raises:
            OSError: the file can't be written.
        """
        if not self._has_ended:
            self._pending.append((step, observation, transition))
            if self._times[step] >= HEAD_START_S:
                self._follow(wait=False)

    def _follow(self, *, wait: bool) -> None:
        """Let the policy decide in the steps so far; without ``wait`` once it can do so at once."""
        if self._has_ended:
            return
        try:
            actor = self._actor = self._actor or self._begin()
            if self._opening is not None and not (wait or self._opening.done()):
                return
            undrawn = None if self._opening is None else self._opening.result()
            pending, self._pending = self._pending, []
            for step, observation, transition in pending:
                views = [observation]
                if undrawn is not None:
                    views.insert(0, undrawn.observation)
                    undrawn.step(self._episode.action(step))
                self._decide(actor, step, views)
                if transition.life_lost:
                    for view in range(len(views)):
                        actor.reset_state(view)
        except MetaBonkError as error:
            log.warning("%s: no further saliency maps: %s", self._file, error)
            self._has_ended = True

    def _begin(self) -> Actor:
        # A GPU is for those who train.
        spec = PolicySpec.of(self._description, self._learning)
        actor = Actor(spec, device=torch.device("cpu"))
        actor.load(self._weights())
        if not self._description.in_process:
            # Its engine takes a while to start, in which drawing continues.
            opener = self._resources.enter_context(ThreadPoolExecutor(1, "saliency-game"))
            self._opening = opener.submit(self._open_undrawn)
        return actor

    def _open_undrawn(self) -> "_Undrawn":
        opened = opened_game(self._episode.setup, self._learning)
        return _Undrawn(self._resources.enter_context(opened), self._episode)

    def _weights(self) -> bytes:
        if not isinstance(self._policy, Path):
            return self._policy or b""
        try:
            return self._policy.read_bytes()
        except OSError as error:  # Replaced by a newer one.
            raise PolicyError(f"{self._policy} can't be read: {error.strerror}") from None

    def _decide(self, actor: Actor, step: int, views: Sequence[Observation]) -> None:
        is_due = self._times[step] >= self._due_s
        # A recurrent state depends on every step.
        if is_due or actor.spec.memory:
            decisions = actor.act(views, range(len(views)))
            if is_due:
                self._due_s = self._times[step] + PERIOD_S
                self._write(step, self._map(actor, step, views, decisions))

    def _map(
        self, actor: Actor, step: int, views: Sequence[Observation], decisions: Sequence[Decision]
    ) -> NDArray[np.uint8] | None:
        """Return the map of a step; None if the policy decides otherwise on every view."""
        for observation, decision in zip(views, decisions, strict=True):
            if self._agrees(step, decision):
                chosen = decision._replace(action=self._episode.action(step))
                return actor.saliency(observation, chosen)
        return None

    def _agrees(self, step: int, decision: Decision) -> bool:
        shares = quantized(decision.probabilities).astype(np.int16)
        difference = np.abs(shares - self._episode.probabilities[step]).max(initial=0)
        value = abs(decision.value - float(self._episode.values[step]))
        return bool(difference <= PROBABILITY_TOLERANCE and value <= self._value_tolerance)

    def _write(self, step: int, cells: NDArray[np.uint8] | None) -> None:
        rows, columns = (0, 0) if cells is None else cells.shape
        line = ReplaySaliency(
            time=self._times[step],
            columns=columns,
            rows=rows,
            cells=None if cells is None else base64.b64encode(cells.tobytes()).decode(),
        )
        self._stream.write(line.model_dump_json().encode() + b"\n")
        self._stream.flush()


class _Undrawn:
    """The same episode in a second game that is drawn for nobody.

    An engine that draws larger for viewers scales that down for the policy, which gives another
    observation than the small frames of a game that nobody watched.

    Attributes:
        observation: for the next step.
    """

    def __init__(self, game: Game, episode: EpisodeLog) -> None:
        game.restore_carried_state(episode.carried)
        self.observation = game.reset(episode.seed)
        self._game = game

    def step(self, action: object) -> None:
        """Take a step."""
        self.observation = self._game.step(action).observation
