"""Starting ViZDoom's engine, a process that must end with this one."""

import contextlib
import itertools
import logging
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, SupportsInt

import psutil
import vizdoom as vzd

from metabonk.errors import GameError
from metabonk.games.doom_scenarios import FIRST_MAP, Scenario
from metabonk.games.engine_watch import EngineWatch
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system import shared_memory
from metabonk.system.private_folder import private_folder
from metabonk.system.process import BACKGROUND_NICE
from metabonk.system.shared_core import Callee

log = logging.getLogger(__name__)

ENGINE_ERRORS = (
    vzd.ViZDoomErrorException,
    vzd.ViZDoomIsNotRunningException,
    vzd.ViZDoomUnexpectedExitException,
    vzd.FileDoesNotExistException,
    vzd.MessageQueueException,
    vzd.SharedMemoryException,
)
"""ViZDoom's exceptions, which have no common base."""

SIZES = (
    (256, 144, vzd.ScreenResolution.RES_256X144),
    (512, 288, vzd.ScreenResolution.RES_512X288),
    (640, 360, vzd.ScreenResolution.RES_640X360),
    (1024, 576, vzd.ScreenResolution.RES_1024X576),
    (1280, 720, vzd.ScreenResolution.RES_1280X720),
    (1920, 1080, vzd.ScreenResolution.RES_1920X1080),
)
"""ViZDoom's 16:9 sizes that are integer multiples of the observation's 128×72. Another aspect ratio
would change the field of view, and so the observation."""

MIN_SIZE = SIZES[0][:2]

ENGINE_MEMORY = 12 << 20
PIXEL_MEMORY = 4
"""Shared memory of an engine and of a pixel, bytes: 10.7 MB at 256×144, 13.4 MB at 1280×720."""

MARK = "-metabonk"
"""Argument that the engine ignores, and by which its process is found."""

_numbers = itertools.count()

ENGINE_BANNER = "ViZDoom"
PREFLIGHT_TIMEOUT_S = 20.0

_LAUNCHER = """\
#!/bin/sh
# Runs ViZDoom's engine so that it ends with the process that plays, even if that is killed. In
# another POSIX session, a Ctrl-C on the terminal reaches only the player, which closes its engine.
# The engine creates a folder _vizdoom where it runs, hence the cd.
cd '{folder}' || exit 1
exec {prefix}'{engine}' "$@"
"""


class Engine(vzd.DoomGame):
    """ViZDoom's handle of an engine, which also notices that the engine has died."""

    def __init__(self) -> None:
        super().__init__()
        self._watch: EngineWatch | None = None
        self._process: Callee | None = None

    def init(self) -> None:
        """Start the engine; the settings have been made."""
        number = str(next(_numbers))
        self.add_game_args(f"{MARK} {number}")
        super().init()
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if child.cmdline()[-2:] == [MARK, number]:
                    self._watch = EngineWatch(child.pid)
                    self._process = Callee(child.pid)

    def new_episode(self, recording_file_path: str = "") -> None:
        """Start the next episode."""
        with self._call():
            super().new_episode(recording_file_path)

    def make_action(self, action: Any, tics: SupportsInt = 1) -> float:
        """Hold the buttons of an action for some tics, and return the reward."""
        with self._call():
            return super().make_action(action, tics)

    def _call(self) -> contextlib.AbstractContextManager[None]:
        if self._watch is None or self._process is None:
            return contextlib.nullcontext()
        if self._watch.has_exited:
            raise vzd.ViZDoomUnexpectedExitException("it was killed")
        self._process.join_caller()
        return self._watch


def nearest_size(size: tuple[int, int] | None) -> tuple[int, int]:
    """Return the drawn size with the nearest number of pixels to ``size``; None: the smallest."""
    if size is None:
        return MIN_SIZE
    wanted = size[0] * size[1]
    width, height, _ = min(SIZES, key=lambda entry: abs(entry[0] * entry[1] - wanted))
    return width, height


def start_engine(scenario: Scenario, size: tuple[int, int]) -> Engine:
    """Start an engine; takes 0.2 to 0.4 s, during which other Python threads run.

    The scenario's own time limit is switched off, since ViZDoom shows no frame of a state that has
    timed out: the caller counts tics, and so sees the last one.

    Args:
        scenario: to play.
        size: drawn width and height, one of ``SIZES``.

    Raises:
        GameError: it does not start.
    """
    _check_engine()
    _check_shared_memory(size)
    game = Engine()
    game.load_config(str(scenario.file))
    game.set_vizdoom_path(str(launcher(background=size == MIN_SIZE)))
    # Otherwise engines side by side write one file in the working directory.
    game.set_doom_config_path(os.devnull)
    game.set_mode(vzd.Mode.PLAYER)
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.set_audio_buffer_enabled(False)
    game.set_notifications_buffer_enabled(False)
    game.set_automap_buffer_enabled(False)
    game.set_screen_format(vzd.ScreenFormat.RGB24)
    game.set_screen_resolution(
        next(entry for width, height, entry in SIZES if (width, height) == size)
    )
    game.set_episode_timeout(0)
    if first_map := FIRST_MAP.get(scenario.name):
        game.set_doom_map(first_map)
    try:
        game.init()
    except ENGINE_ERRORS as error:
        raise GameError(f"the Doom engine for {scenario.name} does not start: {error}") from None
    return game


@cache
def _check_engine() -> None:
    """Start an engine without a game, once, to see whether one can run here.

    Where it can't, ``DoomGame.init`` crashes Python: ViZDoom 1.3.2 segfaults if its engine ends
    before it has reported.

    Raises:
        GameError: the engine can't run here.
    """
    command = [str(launcher()), "-norun", "-config", os.devnull]
    try:
        run = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PREFLIGHT_TIMEOUT_S,
            check=False,
        )
        output = run.stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        output = str(error)
    if ENGINE_BANNER not in output:
        lines = output.strip().splitlines() or ["no output"]
        raise GameError(
            f"the Doom engine {vzd.exe_path} can't run on this machine: {lines[-1]}. "
            f"'ldd {vzd.exe_path}' shows the libraries it needs"
        )


def _check_shared_memory(size: tuple[int, int]) -> None:
    """Check for shared memory: an engine that runs out of it crashes, and Python with it.

    Raises:
        GameError: there is too little.
    """
    free = shared_memory.free_bytes()
    needed = ENGINE_MEMORY + PIXEL_MEMORY * size[0] * size[1]
    if free < needed:
        raise GameError(
            f"a Doom engine of {size[0]}×{size[1]} needs {needed >> 20} MB of "
            f"{shared_memory.PATH}, but only {free >> 20} MB are free. 'metabonk cleanup-games' "
            "frees what dead games hold; 'docker run --shm-size=1g' gives a container more"
        )


def engine_folder() -> Path:
    """Return the private folder that engines run in; it identifies them as ours.

    Raises:
        StartError: it can't be created.
    """
    return private_folder(runtime_dir() / "doom", setting="XDG_RUNTIME_DIR")


def launcher(*, background: bool = False) -> Path:
    """Return the program that ViZDoom runs as its engine, writing it if needed.

    Where the folder doesn't allow programs (mounted ``noexec``), that is the engine itself.

    Args:
        background: run below the priority of live streams.

    Raises:
        StartError: its folder can't be created.
    """
    folder = engine_folder()
    if _is_noexec(folder):
        return Path(vzd.exe_path)
    program = os.fsencode(
        _LAUNCHER.format(
            folder=_quote(folder), prefix=_wrappers(background), engine=_quote(Path(vzd.exe_path))
        )
    )
    file = folder / f"engine-{vzd.__version__}{'-background' if background else ''}"
    if not (file.exists() and file.read_bytes() == program and os.access(file, os.X_OK)):
        # Renamed into place: another worker may be running the old one now.
        descriptor, name = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(program)
            os.fchmod(descriptor, 0o700)
        Path(name).replace(file)
    return file


@cache
def _is_noexec(folder: Path) -> bool:
    """Tell whether programs can't run in this folder; warn once if so."""
    is_noexec = bool(os.statvfs(folder).f_flag & os.ST_NOEXEC)
    if is_noexec:
        log.warning(
            "%s is mounted noexec: Doom engines can't be tied to their worker, and outlive a "
            "killed one until the next cleanup",
            folder,
        )
    return is_noexec


@cache
def _wrappers(background: bool) -> str:
    """Return the commands in front of the engine, as far as they are installed."""
    words = f"nice -n {BACKGROUND_NICE} " if background and shutil.which("nice") else ""
    words += "setsid " if shutil.which("setsid") else ""
    if shutil.which("setpriv"):
        return words + "setpriv --pdeathsig KILL "
    log.warning(
        "'setpriv' (package util-linux) is missing: Doom engines outlive a killed worker until "
        "the next cleanup"
    )
    return words


def _quote(path: Path) -> str:
    return str(path).replace("'", "'\\''")
