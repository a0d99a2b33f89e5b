"""Adapter for pygame games: runs a game with a clock, a keyboard and random numbers of MetaBonk's.

The game's interpreter runs this file, so it imports nothing of MetaBonk. A tic ends where the game
shows its picture. ``metabonk.desktop.adapter`` describes the requests.
"""

import mmap
import os
import random
import runpy
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

import pygame

START_S = 1_700_000_000.0
"""Time of clocks at the start of an episode, seconds since 1970."""


def setting(name: str) -> str:
    """Return one of MetaBonk's variables."""
    return os.environ[f"METABONK_{name}"]


class Keys:
    """State of the keyboard, as ``pygame.key.get_pressed`` returns it."""

    def __init__(self, held: frozenset[int]) -> None:
        self._held = held

    def __getitem__(self, key: int) -> bool:
        return key in self._held


class Game:
    """A game that moves when it is told.

    Args:
        requests: lines to read.
        replies: receives a line for each.

    Attributes:
        tic_s: duration of a tic.
        now: seconds since the start of the episode.
        held: codes of the keys that are held.
    """

    def __init__(self, requests: TextIO, replies: TextIO) -> None:
        self._requests, self._replies = requests, replies
        self.tic_s = 1 / float(setting("TICS_PER_SECOND"))
        self.now = 0.0
        self.held: frozenset[int] = frozenset()
        self._wanted: int | None = None
        self._done = 0
        self._last_value = 0.0
        self._begin = compile(setting("BEGIN"), "begin", "exec")
        self._each_tic = compile(setting("EACH_TIC"), "each_tic", "exec")
        self._value = compile(setting("VALUE"), "value", "eval")
        self._over = compile(setting("OVER") or "False", "over", "eval")

    def run(self, source: str) -> None:
        """Run an episode: the game from its start to its end, or that of the requests.

        Args:
            source: file or module of the game.
        """
        self._reply("ready", 1)
        word, *words = self._next_request()
        if word != "reset":
            raise RuntimeError(f"the first request is {word}, not reset")
        random.seed(int(words[0]))
        sys.argv = [source]
        if source.endswith(".py"):
            sys.path.insert(0, str(Path(source).parent))
        exec(self._begin, {})
        try:
            if source.endswith(".py"):
                runpy.run_path(source, run_name="__main__")
            else:
                runpy.run_module(source, run_name="__main__", alter_sys=True)
        except SystemExit:
            pass
        # A game that is left is over.
        self._reply("ok", self._last_value, 1, self._done)
        self._serve()

    def fail(self, sentence: str) -> NoReturn:
        """Report that the game broke, and end it."""
        self._reply("error", " ".join(sentence.split()))
        os._exit(1)

    def end_tic(self, *arguments: Any) -> None:
        """Do what is requested between two tics, instead of showing a picture."""
        self.now += self.tic_s
        names, own = _names(sys._getframe(1))
        if self._wanted is not None:
            self._done += 1
            exec(self._each_tic, own, names)
        names, _ = _names(sys._getframe(1))
        is_over = bool(eval(self._over, names))
        self._last_value = float(eval(self._value, names))
        if self._wanted is None or is_over or self._done >= self._wanted:
            self._reply("ok", self._last_value, int(is_over), self._done)
            self._serve()

    def _serve(self) -> None:
        """Answer requests up to the next step."""
        while True:
            word, *words = self._next_request()
            if word == "step":
                self._wanted, self._done = int(words[0]), 0
                self._hold(frozenset(map(pygame.key.key_code, words[1:])))
                return
            if word != "draw":
                self.fail(f"unknown request {word}")
            self._draw()

    def _hold(self, keys: frozenset[int]) -> None:
        for kind, changed in ((pygame.KEYUP, self.held - keys), (pygame.KEYDOWN, keys - self.held)):
            for key in sorted(changed):
                pygame.event.post(pygame.event.Event(kind, key=key, mod=0, unicode="", scancode=0))
        self.held = keys

    def _draw(self) -> None:
        surface = pygame.display.get_surface()
        if surface is None:
            self.fail("it has no display")
        pixels = pygame.image.tobytes(surface, "RGBA")
        with Path(setting("FRAME")).open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            # A picture that is too large is told by its size.
            if len(pixels) <= size:
                with mmap.mmap(file.fileno(), size) as frame:
                    frame[: len(pixels)] = pixels
        self._reply("ok", *surface.get_size())

    def _next_request(self) -> list[str]:
        line = self._requests.readline()
        if not line:
            os._exit(0)
        return line.split()

    def _reply(self, *words: object) -> None:
        print(*words, file=self._replies, flush=True)


def _names(frame: FrameType | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the names that a function and its callers see, and those of the game's main module."""
    frames: list[FrameType] = []
    while frame is not None and frame.f_code.co_filename not in (__file__, runpy.__file__):
        frames.append(frame)
        frame = frame.f_back
    names: dict[str, Any] = {}
    for each in reversed(frames):
        names |= {**each.f_globals, **each.f_locals}
    own = frames[-1].f_globals if frames else names
    return names, own


def _patch(game: Game) -> None:
    """Give pygame and the standard library the game's time, keys and end of a tic."""

    class Clock:
        """A clock whose tics take the same time each."""

        def tick(self, framerate: float = 0) -> int:
            return round(1000 * game.tic_s)

        tick_busy_loop = get_time = get_rawtime = tick

        def get_fps(self) -> float:
            return 1 / game.tic_s

    patches: list[tuple[Any, str, Any]] = [
        (pygame.display, "flip", game.end_tic),
        (pygame.display, "update", game.end_tic),
        (pygame.key, "get_pressed", lambda: Keys(game.held)),
        (pygame.time, "Clock", Clock),
        (pygame.time, "get_ticks", lambda: round(1000 * game.now)),
        (pygame.time, "wait", lambda milliseconds: milliseconds),
        (pygame.time, "delay", lambda milliseconds: milliseconds),
        (time, "time", lambda: START_S + game.now),
        (time, "monotonic", lambda: game.now),
        (time, "perf_counter", lambda: game.now),
        (time, "sleep", lambda seconds: None),
    ]
    for module, name, replacement in patches:
        setattr(module, name, replacement)


def main() -> None:
    """Run the game that a variable names."""
    requests, replies = Path(setting("REQUESTS")), Path(setting("REPLIES"))
    with requests.open(encoding="utf-8") as asked, replies.open("w", encoding="utf-8") as told:
        game = Game(asked, told)
        _patch(game)
        game.run(setting("SOURCE"))


if __name__ == "__main__":
    main()
