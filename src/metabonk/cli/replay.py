"""``metabonk replay``: draw an episode of a run again, as a video."""

import argparse
import sys
import time
from pathlib import Path

from metabonk.errors import ReplayError, StartError, WireError
from metabonk.messages.replays import parse_video_size
from metabonk.messages.runs import Episode
from metabonk.messages.workers import Mode, instance_id
from metabonk.policy.episode_log import EpisodeLog
from metabonk.printable import printable
from metabonk.replays.renderer import draw, opened_game
from metabonk.replays.video import ReplayVideo
from metabonk.runs.catalog import RunCatalog
from metabonk.runs.episode_logs import why_not_kept
from metabonk.runs.layout import NEWEST, SETTINGS_FILE, find_run, run_folders
from metabonk.settings import load_settings, read_usable_settings
from metabonk.settings.commands import command
from metabonk.system.process import lower_priority

DEFAULT_SIZE = 1280, 720
MIN_SIZE, MAX_SIZE = (64, 64), (3840, 2160)
SUFFIX = ".mp4"

PROGRESS_S = 0.2
"""Period of the progress line on a terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is drawn, and where to."""
    parser.add_argument(
        "run", nargs="?", default=NEWEST, metavar="RUN", help="name or folder; default: newest"
    )
    parser.add_argument(
        "episode",
        nargs="?",
        default="best",
        metavar="EPISODE",
        help="its number in the run, or best, worst or last; default: best",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.mp4",
        help="default: RUN-episode-N.mp4 in this folder",
    )
    parser.add_argument(
        "--size",
        type=video_size,
        default=DEFAULT_SIZE,
        metavar="WxH",
        help="of the video, pixels; default: 1280x720",
    )


def run(arguments: argparse.Namespace) -> int:
    """Repeat an episode and write its video; exit code 3 if it comes out differently.

    Raises:
        MetaBonkError: there is no such run, episode or log, the game can't be played here, or the
            video can't be written.
    """
    lower_priority()
    run_dir = _find_run(load_settings().paths.runs, arguments.run)
    catalog = RunCatalog(run_dir.parent)
    episode = _find_episode(catalog, run_dir.name, arguments.episode)
    log = _read_log(catalog, run_dir.name, episode)
    file = arguments.output or Path(f"{run_dir.name}-episode-{episode.id}{SUFFIX}")
    _check_target(file)
    settings, _ = read_usable_settings(run_dir / SETTINGS_FILE)
    worker = instance_id(episode.worker_index)
    _print(
        f"{run_dir.name}, episode {episode.id}: {log.setup.game}, {worker}, version "
        f"{log.policy_version}, return {log.total_reward:.2f}, {len(log)} steps"
    )
    with opened_game(log.setup, settings.learning, arguments.size) as game:
        pace = game.description.tics_per_s
        with ReplayVideo(file, size=arguments.size, tics_per_s=pace) as video:
            progress = _Progress(int(log.tics.sum()), pace)
            draw(log, game, video, on_tic=progress)
            progress.close()
    _print(f"wrote {file}: it came out as it was played")
    return 0


def video_size(text: str) -> tuple[int, int]:
    """Return the size of a video, pixels, for ``argparse``."""
    try:
        return parse_video_size(text, MIN_SIZE, MAX_SIZE)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _find_run(runs: Path, name: str) -> Path:
    """Return the folder of a run, by its name or path.

    Raises:
        StartError: there is none.
    """
    if name != NEWEST:
        folder = Path(name).resolve()
        is_run = (folder / SETTINGS_FILE).is_file()
        return folder if is_run else find_run(runs, name, mode=Mode.TRAIN)
    if folders := run_folders(runs):
        return folders[0]
    raise StartError(f"there is no run in {runs}; start one with '{command('start')}'")


def _find_episode(catalog: RunCatalog, run: str, wanted: str) -> Episode:
    match wanted:
        case "best" | "worst" | "last":
            return catalog.pick(run, wanted)
    if not wanted.isdecimal():
        raise ReplayError(f"{wanted!r} is no episode: give its number, or best, worst or last")
    return catalog.episode(run, int(wanted))


def _read_log(catalog: RunCatalog, run: str, episode: Episode) -> EpisodeLog:
    data = catalog.episode_log(run, episode.id)
    if data is None:
        raise ReplayError(why_not_kept(episode.id, run))
    try:
        return EpisodeLog.from_bytes(data)
    except WireError as error:
        raise ReplayError(f"episode {episode.id} of run {run} can't be repeated: {error}") from None


def _check_target(file: Path) -> None:
    """Refuse a file that can't be written before the game is started.

    Raises:
        ReplayError: it is no new MP4 file in a folder that exists.
    """
    if file.suffix.lower() != SUFFIX:
        raise ReplayError(f"can't write {file}: the name must end in {SUFFIX}")
    if not file.parent.is_dir():
        raise ReplayError(f"can't write {file}: there is no folder {file.parent}")
    if file.exists():
        raise ReplayError(f"{file} exists already; delete it, or name another file with -o")


class _Progress:
    """A line about the progress, rewritten in place; only on a terminal."""

    def __init__(self, tics: int, tics_per_s: float) -> None:
        self._tics, self._tics_per_s = tics, tics_per_s
        self._began_at, self._shown_at = time.monotonic(), float("-inf")
        self._is_shown = sys.stdout.isatty()

    def __call__(self, tic: int) -> None:
        """Show that this tic has been drawn."""
        now = time.monotonic()
        if self._is_shown and now - self._shown_at >= PROGRESS_S:
            self._shown_at = now
            speed = tic / self._tics_per_s / (now - self._began_at)
            done, length = 100 * tic // max(1, self._tics), self._tics / self._tics_per_s
            _write(f"\r{done} % of {length:.0f} s, {speed:.1f} times as fast as the game\033[K")

    def close(self) -> None:
        """Remove the line."""
        if self._is_shown:
            _write("\r\033[K")


def _print(line: str) -> None:
    _write(f"{printable(line)}\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
