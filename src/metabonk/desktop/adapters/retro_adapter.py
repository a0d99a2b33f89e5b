"""Adapter for games of consoles: an emulator of stable-retro, one in this process.

MetaBonk's interpreter runs this file. ``metabonk.desktop.adapter`` describes the requests; with the
arguments ``--describe GAME STATE`` it prints a line of JSON about a game instead.
"""

import difflib
import json
import mmap
import os
import random
import sys
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import stable_retro
from numpy.typing import NDArray

MAX_WAIT = 30
"""Longest wait before an episode, tics, as in Atari games (Mnih et al. 2015)."""


class CantOpen(Exception):
    """A game that can't be opened; its words say what to do."""


def setting(name: str) -> str:
    """Return one of MetaBonk's variables."""
    return os.environ[f"METABONK_{name}"]


def open_game(name: str, state: str) -> Any:
    """Open a game's emulator.

    Args:
        name: of the game.
        state: savestate that episodes begin with; empty: the game's default.

    Raises:
        CantOpen: there is no such game, ROM or savestate.
    """
    known = stable_retro.data.list_games()
    if name not in known:
        near = difflib.get_close_matches(name, known, 3, 0.4) or known[:3]
        raise CantOpen(f"there is no such game; near are {', '.join(near)}")
    states = stable_retro.data.list_states(name)
    if state and state not in states:
        raise CantOpen(f"it has no savestate {state!r}; it has {', '.join(sorted(states))}")
    try:
        return stable_retro.make(name, state or stable_retro.State.DEFAULT, render_mode="rgb_array")
    except FileNotFoundError:
        raise CantOpen(
            "its ROM is not here: "
            f"'{sys.executable} -m stable_retro.import FOLDER' adds your own from a folder"
        ) from None
    except RuntimeError as error:
        raise CantOpen(str(error)) from None


def describe(name: str, state: str) -> dict[str, Any]:
    """Return what a definition of the game needs; ``error`` alone where it can't be opened."""
    try:
        environment = open_game(name, state)
    except CantOpen as error:
        return {"error": str(error)}
    height, width, _ = environment.reset()[0].shape
    return {
        "size": [width, height],
        "buttons": environment.buttons,
        "combinations": environment.button_combos,
    }


class Game:
    """A game that moves when it is told.

    Args:
        environment: of the game.
        requests: lines to read.
        replies: receives a line for each.
    """

    def __init__(self, environment: Any, requests: TextIO, replies: TextIO) -> None:
        self._environment = environment
        self._requests, self._replies = requests, replies
        self._size = int(setting("WIDTH")), int(setting("HEIGHT"))
        self._value = compile(setting("VALUE"), "value", "eval")
        self._over = compile(setting("OVER") or "done", "over", "eval")
        self._buttons = {name: at for at, name in enumerate(environment.buttons) if name}
        self._names: dict[str, Any] = {}
        self._pixels: NDArray[np.uint8] = np.zeros((*self._size[::-1], 3), np.uint8)

    def run(self) -> None:
        """Answer requests up to their end."""
        self._reply("ready", 1)
        for line in self._requests:
            match line.split():
                case ["reset", seed]:
                    self._reset(int(seed))
                    self._tell(0)
                case ["step", tics, *keys]:
                    self._tell(self._step(self._pressed(keys), int(tics)))
                case ["draw"]:
                    self._draw()
                case words:
                    raise RuntimeError(f"unknown request {' '.join(words)}")

    def _reset(self, seed: int) -> None:
        """Begin an episode at the savestate, some tics later for each seed."""
        self._pixels, _ = self._environment.reset()
        self._names = {"reward": 0.0, "done": False, **self._environment.data.lookup_all()}
        self._step(self._pressed([]), random.Random(seed).randrange(MAX_WAIT))

    def _step(self, buttons: NDArray[np.int8], tics: int) -> int:
        """Hold buttons; return how many tics have passed."""
        for tic in range(tics):
            self._pixels, reward, done, _, variables = self._environment.step(buttons)
            self._names = {**variables, "reward": self._names["reward"] + reward, "done": done}
            if eval(self._over, dict(self._names)):
                return tic + 1
        return tics

    def _pressed(self, names: list[str]) -> NDArray[np.int8]:
        buttons = np.zeros(self._environment.num_buttons, np.int8)
        for name in names:
            if name not in self._buttons:
                raise RuntimeError(f"no button {name}; its buttons are {', '.join(self._buttons)}")
            buttons[self._buttons[name]] = 1
        return buttons

    def _tell(self, tics: int) -> None:
        value = float(eval(self._value, dict(self._names)))
        over = int(bool(eval(self._over, dict(self._names))))
        self._reply("ok", value, over, tics)

    def _draw(self) -> None:
        pixels = self._pixels
        if pixels.shape[1::-1] != self._size:  # Consoles change their mode within a game.
            scaled = cv2.resize(pixels, self._size, interpolation=cv2.INTER_NEAREST)
            pixels = np.asarray(scaled, np.uint8)
        with Path(setting("FRAME")).open("r+b") as file, mmap.mmap(file.fileno(), 0) as frame:
            frame[:] = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA).tobytes()
        self._reply("ok", *self._size)

    def _reply(self, *words: object) -> None:
        print(*words, file=self._replies, flush=True)


def main() -> None:
    """Run the game that a variable names, or describe the one of the arguments."""
    match sys.argv[1:]:
        case ["--describe", name, state]:
            print(json.dumps(describe(name, state)))
            return
    requests, replies = Path(setting("REQUESTS")), Path(setting("REPLIES"))
    with requests.open(encoding="utf-8") as asked, replies.open("w", encoding="utf-8") as told:
        try:
            Game(open_game(setting("SOURCE"), setting("BEGIN")), asked, told).run()
        except (CantOpen, RuntimeError, ValueError, NameError, TypeError, SyntaxError) as error:
            print("error", " ".join(str(error).split()), file=told, flush=True)


if __name__ == "__main__":
    main()
