"""Starts ViZDoom's engine: a process of its own, which must end when this one does."""

import logging
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import vizdoom as vzd

from metabonk.errors import GameError
from metabonk.games.doom_scenarios import FIRST_MAP, Scenario
from metabonk.settings.runtime_dir import private_folder, runtime_dir
from metabonk.system import shared_memory
from metabonk.system.process import BACKGROUND_NICE

log = logging.getLogger(__name__)

ENGINE_ERRORS = (
    vzd.ViZDoomErrorException,
    vzd.ViZDoomIsNotRunningException,
    vzd.ViZDoomUnexpectedExitException,
    vzd.FileDoesNotExistException,
    vzd.MessageQueueException,
    vzd.SharedMemoryException,
)
"""What ViZDoom raises; they have no base of their own."""

SIZES = (
    (256, 144, vzd.ScreenResolution.RES_256X144),
    (512, 288, vzd.ScreenResolution.RES_512X288),
    (640, 360, vzd.ScreenResolution.RES_640X360),
    (1024, 576, vzd.ScreenResolution.RES_1024X576),
    (1280, 720, vzd.ScreenResolution.RES_1280X720),
    (1920, 1080, vzd.ScreenResolution.RES_1920X1080),
)
"""ViZDoom's 16:9 sizes that are whole multiples of the observation's 128×72. Other aspect ratios
would change the field of view, and with it what the policy sees."""

SMALLEST = SIZES[0][:2]

ENGINE_MEMORY = 12 << 20
PIXEL_MEMORY = 4
"""Bytes an engine shares with its player: measured 10.7 MB at 256×144 and 13.4 MB at 1280×720."""

ENGINE_GREETING = "ViZDoom"
PREFLIGHT_TIMEOUT_S = 20.0

_LAUNCHER = """\
#!/bin/sh
# Runs ViZDoom's engine so that it ends with the process that plays, even when that is killed:
# the engine notices nothing and would run on. In a session of its own, a Ctrl-C on the terminal
# reaches only the player, which then closes its engine. The engine makes a folder _vizdoom where
# it runs, hence this one.
cd '{folder}' || exit 1
exec {prefix}'{engine}' "$@"
"""


def nearest_size(size: tuple[int, int] | None) -> tuple[int, int]:
    """The drawn size nearest to ``size`` (width, height) by its pixels; None: the smallest."""
    if size is None:
        return SMALLEST
    wanted = size[0] * size[1]
    width, height, _ = min(SIZES, key=lambda entry: abs(entry[0] * entry[1] - wanted))
    return width, height


def start_engine(scenario: Scenario, size: tuple[int, int]) -> vzd.DoomGame:
    """Starts an engine; takes 0.2 to 0.4 s, in which other Python threads run.

    The scenario's own time limit is switched off, since ViZDoom shows nothing of a state that it
    has timed out: the caller counts tics, and sees the last one.

    Args:
        scenario: what to play.
        size: drawn width and height, one of ``SIZES``.

    Raises:
        GameError: it does not start.
    """
    _require_that_engines_start()
    _require_shared_memory(size)
    game = vzd.DoomGame()
    game.load_config(str(scenario.file))
    game.set_vizdoom_path(str(launcher(background=size == SMALLEST)))
    # Nothing to read there and nothing kept: engines side by side don't write one file, and no
    # file is left in the working directory.
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
def _require_that_engines_start() -> None:
    """Has an engine start without a game, once; ``DoomGame.init`` crashes Python where it can't.

    Seen with ViZDoom 1.3.2: an engine that ends before it has reported is a segmentation fault.

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
        said = run.stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    if ENGINE_GREETING not in said:
        lines = said.strip().splitlines() or ["it says nothing"]
        raise GameError(
            f"the Doom engine {vzd.exe_path} can't run on this machine: {lines[-1]}. "
            f"'ldd {vzd.exe_path}' shows the libraries that it needs"
        )


def _require_shared_memory(size: tuple[int, int]) -> None:
    """An engine that runs out of shared memory dies of it, and takes Python along.

    Raises:
        GameError: there is too little.
    """
    free = shared_memory.free_bytes()
    needed = ENGINE_MEMORY + PIXEL_MEMORY * size[0] * size[1]
    if free < needed:
        raise GameError(
            f"a Doom engine of {size[0]}×{size[1]} needs {needed >> 20} MB of "
            f"{shared_memory.PATH}, and {free >> 20} MB are free. 'metabonk cleanup-games' frees "
            "what dead games hold; Docker gives a container more with --shm-size=1g"
        )


def engine_folder() -> Path:
    """Where engines run: a folder of this user alone. It tells our engines from others.

    Raises:
        StartError: it can't be made.
    """
    return private_folder(runtime_dir() / "doom", setting="XDG_RUNTIME_DIR")


@cache
def launcher(*, background: bool = False) -> Path:
    """The program that ViZDoom is told to run as its engine; written when it is missing.

    Where the folder doesn't allow programs (mounted ``noexec``), the engine itself.

    Args:
        background: whether it runs below the priority of what is live.

    Raises:
        StartError: its folder can't be made.
    """
    folder = engine_folder()
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        log.warning(
            "%s is mounted noexec: Doom engines start without their guard, and outlive a killed "
            "worker until the next sweep",
            folder,
        )
        return Path(vzd.exe_path)
    text = _LAUNCHER.format(
        folder=_quoted(folder), prefix=_guard(background), engine=_quoted(Path(vzd.exe_path))
    )
    file = folder / f"engine-{vzd.__version__}{'-background' if background else ''}"
    if not (file.exists() and file.read_text() == text and os.access(file, os.X_OK)):
        # Renamed into place: another worker may be running the old one right now.
        descriptor, name = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            os.fchmod(descriptor, 0o700)
        Path(name).replace(file)
    return file


def _guard(background: bool) -> str:
    """Programs of util-linux and coreutils in front of the engine, as far as they are here."""
    words = f"nice -n {BACKGROUND_NICE} " if background and shutil.which("nice") else ""
    words += "setsid " if shutil.which("setsid") else ""
    if shutil.which("setpriv"):
        return words + "setpriv --pdeathsig KILL "
    log.warning(
        "there is no 'setpriv' (package util-linux): Doom engines outlive a killed worker until "
        "the next sweep"
    )
    return words


def _quoted(path: Path) -> str:
    return str(path).replace("'", "'\\''")
