"""Finding the hub of this user from a trainer, and starting it."""

import atexit
import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import gymnasium

from metabonk.broadcast.meeting import (
    LINE,
    START_LOG,
    STARTING,
    TOLD,
    is_shown,
    meeting_folder,
    page_address,
    remove_told,
)
from metabonk.errors import StartError
from metabonk.system.file_lock import is_locked, try_lock

INTERPRETER = "METABONK_HUB"
"""Environment variable: the Python whose MetaBonk is the hub, by default the trainer's; 0: none is
started."""

STANDARD_ERROR = 2

LOOK_S = 5.0
"""Between two looks for the hub."""

FIRST_LOOKS_S = 0.2
"""The same until the training was told of its page."""

MAX_PAUSE_S = 300.0
"""Longest pause between two starts: a hub that ends again and again costs a training little."""

MAX_FAILURES = 3
"""Starts in a row that may fail without a reason."""

NEEDED = ("aiortc", "av", "fastapi", "httpx", "PIL", "psutil", "pydantic", "uvicorn", "websockets")
"""Modules of the hub that an incomplete installation may lack."""

# The shell ends at once: the hub is no child of the trainer, which may wait for its children.
DETACHED = ("/bin/sh", "-c", '"$@" &', "metabonk")


class HubSeeker:
    """Finds the hub for a trainer, starts one where there is none, and tells where its page is.

    It waits for nothing, and whatever fails is a single warning.

    Args:
        environment: of this process.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environment = environment
        self._clock = clock
        self._next_look = float("-inf")
        self._has_told = False
        self._failures = self._starts = 0
        self._started_at = float("-inf")
        self._has_given_up = False
        self._told: int | None = None

    def seek(self) -> None:
        """Look for the hub if it is time to, and start it if it is not there."""
        now = self._clock()
        if now < self._next_look:
            return
        try:
            self._look(meeting_folder())
        except (OSError, StartError) as error:
            self._give_up(str(error))
        is_settled = self._has_told or self._has_given_up
        self._next_look = now + (LOOK_S if is_settled else FIRST_LOOKS_S)

    def _look(self, folder: Path) -> None:
        if is_shown(folder):
            if (page := page_address(folder)) is not None:
                self._failures = 0
                if not self._has_told and self._may_tell(folder):
                    with contextlib.suppress(AttributeError, OSError, ValueError):
                        sys.stderr.write(LINE.format(page=page))
                        sys.stderr.flush()
                self._has_told = True
            return
        if self._has_given_up or self._environment.get(INTERPRETER) == "0":
            return
        if is_locked(folder / STARTING):
            return
        if (reason := self._failure(folder / START_LOG)) is not None:
            self._give_up(reason)
        elif not self._pauses():
            self._start(folder)

    def _pauses(self) -> bool:
        """Tell whether it is too early to start a hub after the last one: pauses double."""
        since_s = self._clock() - self._started_at
        if since_s > 2 * MAX_PAUSE_S:
            self._starts = 0
        return self._starts > 0 and since_s < min(MAX_PAUSE_S, LOOK_S * 2.0 ** (self._starts - 1))

    def _failure(self, log: Path) -> str | None:
        """Return why the hub that was started did not begin; None if there is another try."""
        if not self._failures or not log.exists():
            return None
        reason = _last_line(log)
        if not reason and self._failures < MAX_FAILURES:
            return None  # It was killed.
        return reason or "the hub ends as soon as it is started"

    def _start(self, folder: Path) -> None:
        """Start a hub, unless another process does so now.

        Raises:
            OSError: it can't be started.
            StartError: this installation can't be a hub.
        """
        command, environment = self._command()
        starting = try_lock(folder / STARTING)
        if starting is None:
            return
        # The lock is the hub's from now on: it drops it when its page is there.
        passed, options = [starting], ["--starting", str(starting)]
        try:
            if not self._has_told and _is_on_standard_error() and self._may_tell(folder):
                # The next ``reset`` may be far away, so the hub itself tells of its page.
                passed.append(os.dup(STANDARD_ERROR))
                options += ["--tell", str(passed[-1])]
                self._has_told = True
            with (folder / START_LOG).open("wb") as output:
                subprocess.run(
                    [*DETACHED, *command, "hub", *options],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=output,
                    start_new_session=True,
                    pass_fds=passed,
                    check=False,
                )
            self._failures += 1
            self._starts, self._started_at = self._starts + 1, self._clock()
        finally:
            for descriptor in passed:
                os.close(descriptor)

    def _command(self) -> tuple[list[str], dict[str, str]]:
        """Return the command line and the environment of MetaBonk in the hub's interpreter."""
        environment = dict(self._environment)
        # Whoever makes errors of warnings means those of the trainer.
        environment.pop("PYTHONWARNINGS", None)
        python = environment.get(INTERPRETER)
        if python:
            for name in ("PYTHONPATH", "PYTHONHOME"):
                environment.pop(name, None)
        else:
            python = sys.executable
            missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
            if missing or not python:
                lacks = f"lacks {', '.join(missing)}" if missing else "is no interpreter"
                raise StartError(
                    f"{python or 'this program'} {lacks}: run 'pip install metabonk' there, or set "
                    f"{INTERPRETER} to a Python that has MetaBonk"
                )
        # Without -P, modules in the trainer's folder would take the place of others.
        return [python, "-P", "-m", "metabonk.cli.main"], environment

    def _may_tell(self, folder: Path) -> bool:
        """Tell whether this process is the one of its training that tells of the page."""
        remove_told(folder)
        note = folder / f"{TOLD}{os.getpgrp()}"
        if (told := try_lock(note)) is None:
            return False
        self._told = told  # Held until this process ends.
        atexit.register(_remove, note, os.getpid())
        return True

    def _give_up(self, reason: str) -> None:
        self._has_given_up = True
        # The user may have made errors of warnings.
        with contextlib.suppress(Warning):
            gymnasium.logger.warn(
                "metabonk can't start its page: %s; 'metabonk watch' shows this training too",
                reason,
            )


def _is_on_standard_error() -> bool:
    """Tell whether what is printed here goes where another process can print too."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return sys.stderr.fileno() == STANDARD_ERROR
    return False


def _remove(note: Path, pid: int) -> None:
    """Remove a file at the end of the process that made it, and not of those it has forked."""
    if os.getpid() == pid:
        note.unlink(missing_ok=True)


def _last_line(file: Path) -> str:
    with contextlib.suppress(OSError):
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:300]
    return ""


_seeker = HubSeeker()


def seek_hub() -> None:
    """Look for the hub of this user if it is time to, and start it if it is not there."""
    _seeker.seek()
