"""Title, note and tags of a run, kept in its folder."""

import json
from pathlib import Path

from pydantic import ValidationError

from metabonk.messages.runs import RunNotes
from metabonk.system.files import write_atomically

NOTES_FILE = "notes.json"


def read_notes(run_dir: Path) -> RunNotes:
    """Return the notes of a run; empty ones where there are none, or they can't be read."""
    try:
        return RunNotes.model_validate(json.loads((run_dir / NOTES_FILE).read_bytes()))
    except (OSError, ValueError, ValidationError):
        return RunNotes()


def write_notes(run_dir: Path, notes: RunNotes) -> None:
    """Replace the notes of a run.

    Raises:
        OSError: they can't be written.
    """
    write_atomically(run_dir / NOTES_FILE, notes.model_dump_json(indent=2).encode())
