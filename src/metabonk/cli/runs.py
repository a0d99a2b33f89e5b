"""``metabonk runs`` lists the runs; ``metabonk runs prune --keep N`` deletes old ones."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from metabonk.cli.inspection import inspection_settings
from metabonk.errors import MetaBonkError
from metabonk.orchestrator.lock import lock_files, read_record
from metabonk.runs.catalog import RunCatalog
from metabonk.runs.layout import modified_at, run_folders
from metabonk.runs.pruning import delete_run, is_in_use, runs_to_prune
from metabonk.settings import Settings
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.file_lock import is_locked
from metabonk.system.files import folder_bytes

HEADING = ("run", "size", "used", "episodes", "best return", "")
AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))

EXIT_REFUSED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``prune``; without it, the runs are listed."""
    commands = parser.add_subparsers(dest="runs_command")
    prune = commands.add_parser("prune", help="delete old runs that no fleet uses")
    prune.add_argument(
        "--keep",
        type=_count,
        metavar="N",
        required=True,
        help="keep the N newest runs with a checkpoint, and newer ones without",
    )
    prune.add_argument("--yes", action="store_true", help="don't ask")


def run(arguments: argparse.Namespace) -> int:
    """List runs, or delete old ones.

    Raises:
        MetaBonkError: the runtime directory can't be used, or a run can't be deleted.
    """
    settings = inspection_settings()
    folders = run_folders(settings.paths.runs)
    used = _used(settings, folders)
    if arguments.runs_command == "prune":
        return _prune(settings.paths.runs, folders, used, arguments.keep, arguments.yes)
    if folders:
        _print(_table(settings.paths.runs, folders, used))
    _print([_total(folders, f"in {settings.paths.runs}")])
    return 0


def _prune(runs: Path, folders: Sequence[Path], used: set[Path], keep: int, is_agreed: bool) -> int:
    old = [folder for folder in runs_to_prune(folders, keep) if folder not in used]
    if not old:
        _print(["nothing to delete"])
        return 0
    _print(_table(runs, old, used))
    if not is_agreed:
        if not sys.stdin.isatty():
            sys.stderr.write("nothing was deleted: nobody can be asked here; add --yes\n")
            return EXIT_REFUSED
        sys.stdout.write(f"delete {_total(old, 'for ever')}? [y/N] ")
        sys.stdout.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            _print(["nothing was deleted"])
            return EXIT_REFUSED
    for folder in old:
        try:
            deleted = delete_run(folder)
        except OSError as error:
            raise MetaBonkError(
                f"can't delete {error.filename or folder}: {error.strerror}; "
                "fix its permissions, or delete the folder yourself"
            ) from None
        _print([f"deleted {folder}" if deleted else f"kept {folder}: a fleet uses it now"])
    return 0


def _used(settings: Settings, folders: Iterable[Path]) -> set[Path]:
    """Return the runs of running fleets; those of earlier versions only record theirs."""
    recorded = set()
    for file in lock_files(runtime_dir(settings.paths.runtime)):
        record = read_record(file)
        if record is not None and record.settings is not None and is_locked(file):
            recorded.add(record.settings.parent.resolve())
    return {
        folder
        for folder in folders
        if folder.is_symlink() or folder.resolve() in recorded or is_in_use(folder)
    }


def _table(runs: Path, folders: Sequence[Path], used: set[Path]) -> Iterator[str]:
    summaries = {summary.run: summary for summary in RunCatalog(runs).summaries()}
    rows = [HEADING]
    for folder in folders:
        summary = summaries.get(folder.name)
        best = None if summary is None else summary.best_return
        rows.append(
            (
                folder.name,
                _megabytes(folder_bytes(folder)),
                _age(time.time() - modified_at(folder)),
                "–" if summary is None else f"{summary.episodes:,}",
                "–" if best is None else f"{best:,.1f}",
                "in use" if folder in used else "",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *others in rows:
        cells = [name.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        yield "  ".join(cells).rstrip()


def _total(folders: Sequence[Path], where: str) -> str:
    size = _megabytes(sum(map(folder_bytes, folders)))
    return f"{len(folders)} run{'' if len(folders) == 1 else 's'} ({size}) {where}"


def _age(seconds: float) -> str:
    for unit_s, unit in AGES:
        if seconds >= unit_s:
            return f"{seconds / unit_s:.0f} {unit} ago"
    return "now"


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MB"


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be an integer ≥ 0, not {text!r}")
    return int(text)


def _print(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
