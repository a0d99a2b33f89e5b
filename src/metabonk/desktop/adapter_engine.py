"""A desktop game that code inside it moves."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from metabonk.desktop import love
from metabonk.desktop.adapter import AdapterLink, GameEnded
from metabonk.desktop.catalog import Entry
from metabonk.desktop.definition import Adapter, AdapterReward, Definition
from metabonk.desktop.engine import Engine, State
from metabonk.desktop.stage import Stage
from metabonk.errors import GameError
from metabonk.system.shared_core import Callee

ADAPTERS = Path(__file__).parent / "adapters"

START_S = 30.0
REPLY_S = 10.0


class AdapterEngine(Engine):
    """A game that an adapter inside it moves; see ``open_engine``."""

    def __init__(self, entry: Entry, wanted: tuple[int, int] | None) -> None:
        definition, adapter = entry.definition, entry.definition.adapter
        assert adapter is not None, "the definition was checked"
        self.size = definition.drawn_size(wanted)
        with contextlib.ExitStack() as owned:
            self._stage = owned.enter_context(contextlib.closing(Stage(entry)))
            game = ADAPTERS / f"{adapter.engine}_adapter.py"
            if adapter.engine == "love":
                game = self._stage.folder.path / "game"
                love.prepare(adapter.source, game)
            self._link = owned.enter_context(contextlib.closing(AdapterLink(self.size)))
            variables = self._link.environment | _settings(definition, adapter, self.size)
            with self._explained():
                self._stage.start(
                    variables,
                    game=game,
                    descriptors=self._link.descriptors,
                    background=wanted is None,
                )
                self._link.started()
                self._link.wait_until_ready(START_S)
            self._callee = Callee(self._stage.child.pid)
            self._owned = owned.pop_all()

    def reset(self, seed: int) -> State:
        """Begin an episode, which is the same for each seed."""
        with self._explained():
            self._stage.child.trim_output()
            return self._link.reset(seed, REPLY_S)

    def step(self, keys: tuple[str, ...], tics: int) -> State:
        """Hold keys, by the engine's names for them."""
        self._callee.join_caller()
        with self._explained():
            return self._link.step(tics, keys, REPLY_S)

    def draw(self) -> NDArray[np.uint8]:
        """Have the game drawn."""
        with self._explained():
            pixels = self._link.draw(REPLY_S)
            return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB), np.uint8)

    def close(self) -> None:
        """End the game and its display."""
        self._owned.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except GameError as error:
            has_ended = isinstance(error, GameEnded)
            raise self._stage.failed(error, has_ended=has_ended) from None


def _settings(definition: Definition, adapter: Adapter, size: tuple[int, int]) -> dict[str, str]:
    """Return the variables that tell an adapter what to evaluate."""
    return {
        "METABONK_TICS_PER_SECOND": str(definition.clock.tics_per_second),
        "METABONK_WIDTH": str(size[0]),
        "METABONK_HEIGHT": str(size[1]),
        "METABONK_SOURCE": str(adapter.source),
        "METABONK_BEGIN": adapter.begin,
        "METABONK_EACH_TIC": adapter.each_tic,
        "METABONK_RESIZE": adapter.resize,
        "METABONK_VALUE": _value(definition),
        "METABONK_OVER": definition.episode.over,
    }


def _value(definition: Definition) -> str:
    assert isinstance(definition.reward, AdapterReward), "the definition was checked"
    return definition.reward.value
