"""A desktop game that knows nothing of MetaBonk: keys in, pictures out."""

import contextlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metabonk.desktop.catalog import Entry, find_libfaketime
from metabonk.desktop.clock import Clock, FrozenClock, RealClock
from metabonk.desktop.definition import DigitsReward, Sign
from metabonk.desktop.digits import appears
from metabonk.desktop.engine import Engine, State
from metabonk.desktop.frame_buffer import FrameBuffer
from metabonk.desktop.keys import Keyboard
from metabonk.desktop.reward_sources import crop, open_source
from metabonk.desktop.stage import Stage
from metabonk.errors import GameError

START_S = 30.0

POLL_S = 0.05


class ScreenEngine(Engine):
    """A game that is read from its display; see ``open_engine``.

    Each episode is another process of the program: only its first menu is known.
    """

    def __init__(self, entry: Entry, wanted: tuple[int, int] | None) -> None:
        definition = entry.definition
        self._definition = definition
        self._tic_s = 1 / definition.clock.tics_per_second
        self.size = definition.drawn_size(wanted)
        with contextlib.ExitStack() as owned:
            self._stage = owned.enter_context(contextlib.closing(Stage(entry)))
            display = self._stage.display
            self._keyboard = owned.enter_context(
                contextlib.closing(Keyboard(display.number, display.cookie))
            )
            self._buffer = owned.enter_context(
                contextlib.closing(FrameBuffer(display.frame_buffer))
            )
            with self._explained():
                self._source = owned.enter_context(
                    contextlib.closing(open_source(definition.reward, self._stage.folder))
                )
                self._clock: Clock = self._start(background=wanted is None)
                self._begin()
            self._value = 0.0
            self._owned = owned.pop_all()

    def reset(self, seed: int) -> State:
        """Begin an episode; the program has just been started for it."""
        self._value = 0.0
        with self._explained():
            self._source.begin(self._stage.child)
            return self._state(0)

    def step(self, keys: tuple[str, ...], tics: int) -> State:
        """Hold keys, by X's names, while the program runs for some tics."""
        with self._explained():
            self._keyboard.hold(keys)
            self._clock.run(tics * self._tic_s)
            return self._state(tics)

    def draw(self) -> NDArray[np.uint8]:
        """Return what is on the display."""
        return self._buffer.read()[: self.size[1], : self.size[0]]

    def region(self) -> NDArray[np.uint8]:
        """Return the part of the display that has the score."""
        reward = self._definition.reward
        assert isinstance(reward, DigitsReward), "it has a place on the screen"
        return crop(self._buffer.read(), reward.region)

    def close(self) -> None:
        """End the game and its display."""
        self._owned.close()

    def _start(self, *, background: bool) -> Clock:
        if self._definition.clock.kind == "real":
            self._stage.start(self._source.environment, background=background)
            return RealClock()
        library = find_libfaketime()
        assert library is not None, "what the game needs was checked"
        clock = FrozenClock(library, self._stage.folder.path)
        variables = {**clock.environment, **self._source.environment}
        self._stage.start(variables, background=background)
        clock.attach(self._stage.child.pid)
        return clock

    def _begin(self) -> None:
        """Wait for the program's window, and go through its menus."""
        waited_s = 0.0
        while not self._keyboard.has_window():
            if self._stage.has_ended() or waited_s >= START_S:
                raise GameError(f"it has opened no window within {waited_s:.0f} s")
            self._clock.run(POLL_S)
            waited_s += POLL_S
        for part in self._definition.episode.begin:
            if isinstance(part, float):
                self._clock.run(part)
            else:
                self._keyboard.hold(part)
        self._keyboard.hold(())

    def _state(self, tics: int) -> State:
        self._keyboard.wait()  # What the program drew last has arrived.
        pixels = self._buffer.read()
        value, is_over = self._source.read(pixels)
        if value is not None:  # Otherwise something covers it for a moment.
            self._value = value
        sign = self._definition.episode.over_sign
        is_over |= sign is not None and _is_there(pixels, sign)
        if self._stage.has_ended() and not is_over:
            raise GameError("it ended unexpectedly")
        return State(self._value, is_over, tics)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except GameError as error:
            raise self._stage.failed(error, has_ended=self._stage.has_ended()) from None


def _is_there(pixels: NDArray[np.uint8], sign: Sign) -> bool:
    return appears(crop(pixels, sign.region), sign.rows, sign.threshold)
