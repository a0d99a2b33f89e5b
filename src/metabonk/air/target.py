"""Destination of the program, and its parts that must stay secret. Pure but for the key's file."""

import logging
import traceback
from dataclasses import dataclass
from pathlib import Path

from metabonk.errors import SettingsError
from metabonk.settings.air import HLS, WHIP

MASK = "…"
PLAYLIST = "program.m3u8"


@dataclass(frozen=True, slots=True)
class Target:
    """A server or a folder.

    Attributes:
        address: for FFmpeg, or of a WHIP endpoint; with the key of RTMP.
        format: FFmpeg's name of the format; ``whip``.
        key: kept out of everything that is shown.
    """

    address: str
    format: str
    key: str | None

    @classmethod
    def of(cls, to: str, key: str | None) -> "Target":
        """Return the target of an address that has passed the settings' checks."""
        if to.startswith(HLS):
            return cls(str(Path(to.removeprefix(HLS)) / PLAYLIST), "hls", None)
        if to.startswith(WHIP):
            return cls(to.removeprefix(WHIP), "whip", key)
        return cls(f"{to.rstrip('/')}/{key}" if key else to, "flv", key)


def read_key(file: Path) -> str:
    """Return the key that a file holds.

    Raises:
        SettingsError: it can't be read, or holds none.
    """
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"air.key_file: {file} can't be read: {error}") from None
    if not key or len(key.split()) > 1:
        raise SettingsError(f"air.key_file: {file} must hold the key and nothing else")
    return key


class KeyMask(logging.Filter):
    """Hides the key in every text, and as a filter in every line of a log.

    Args:
        key: None: there is nothing to hide.
    """

    def __init__(self, key: str | None) -> None:
        super().__init__()
        self._key = key

    def __call__(self, text: str) -> str:
        """Return the text without the key."""
        return text.replace(self._key, MASK) if self._key else text

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide the key in a record."""
        record.msg, record.args = self(record.getMessage()), None
        if record.exc_info is not None:
            record.exc_text = self("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return True
