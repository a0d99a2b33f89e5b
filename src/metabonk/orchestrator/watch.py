"""What the orchestrator has to ask for: the learner's status, encoder sessions, its machine.

And whether a worker that has fallen silent lives: one that no longer answers at all hangs.
"""

import logging
import threading
from collections.abc import Callable, Sequence

import httpx
from pydantic import ValidationError

from metabonk.encoding.capacity import Capacity
from metabonk.errors import EncodingError
from metabonk.messages import LearnerStatus, Mode, Problem
from metabonk.orchestrator.state import FleetState

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
ANSWER_TIMEOUT_S = 2.0
HUNG_AFTER_S = 15.0
"""Silence after which a worker is asked for a sign of life. Load makes it late by a second or so; a
native call that holds Python's lock silences all of its threads for as long as it lasts."""


class Watch:
    """A thread that asks once a second, so that nothing else ever waits for an answer.

    Args:
        state: takes the answers.
        capacity: what encoder sessions there are for this fleet now.
        glance: what a person should do about this machine now.
    """

    def __init__(
        self,
        state: FleetState,
        capacity: Callable[[], Capacity],
        glance: Callable[[], Sequence[Problem]] = lambda: (),
    ) -> None:
        self._state = state
        self._capacity = capacity
        self._glance = glance
        self._stop = threading.Event()
        self._problems: list[Problem] = []
        self._hung: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join(ANSWER_TIMEOUT_S)

    def problems(self) -> list[Problem]:
        """What it found that a person should know."""
        return self._problems

    def hung(self) -> dict[str, float]:
        """Instance id → seconds of silence, of the workers that don't even answer when asked."""
        return self._hung

    def _run(self) -> None:
        settings = self._state.settings
        learner = f"http://{settings.internal_authority(settings.ports.learner)}/status"
        with httpx.Client(timeout=ANSWER_TIMEOUT_S, trust_env=False) as client:
            while True:
                uncounted = self._ask_capacity()
                self._problems = [*([uncounted] if uncounted else []), *self._glance()]
                if settings.mode is Mode.TRAIN:
                    self._state.set_learner(_ask(client, learner))
                self._hung = {
                    name: silence
                    for name, silence in self._state.silent().items()
                    if silence >= HUNG_AFTER_S and not self._lives(client, name)
                }
                if self._stop.wait(INTERVAL_S):
                    return

    def _lives(self, client: httpx.Client, name: str) -> bool:
        settings = self._state.settings
        port = settings.worker_port(int(name.removeprefix("omega-")))
        worker = settings.internal_authority(port)
        try:
            return client.get(f"http://{worker}/healthz").is_success
        except httpx.HTTPError:
            return False

    def _ask_capacity(self) -> Problem | None:
        try:
            self._state.set_capacity(self._capacity())
        except EncodingError as error:
            return Problem(
                what=f"encoder sessions can't be counted: {error}", do="mend that folder"
            )
        return None


def _ask(client: httpx.Client, url: str) -> LearnerStatus | None:
    try:
        answer = client.get(url).raise_for_status()
        return LearnerStatus.model_validate_json(answer.content)
    except httpx.HTTPError:
        return None
    except ValidationError as error:
        log.warning("the learner's status can't be read: %s", error)
        return None
