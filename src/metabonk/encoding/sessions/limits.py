"""Session limits of a GPU: configured, else assumed by brand and driver; lowered by refusals.

According to NVIDIA's application note, the cap counts all capped cards of a system together, across
processes; cards without a cap are bounded only by their resources.
"""

from dataclasses import dataclass
from pathlib import Path

import pynvml
from pydantic import BaseModel, TypeAdapter, ValidationError

from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pool import locked
from metabonk.system.files import move_aside_corrupt, write_atomically

LIMIT_CODES = (10, 21)  # NV_ENC_ERR_OUT_OF_MEMORY, NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY
"""The driver's codes for refusing a session beyond its limit."""

NO_ENCODER_CODE = 2  # NV_ENC_ERR_UNSUPPORTED_DEVICE
"""The driver's code for a device without an encoder."""

UNCAPPED = 32
"""Sessions allowed on a card without a cap: more than one GPU encodes at 1080p60."""

CAPPED_BRANDS = {
    pynvml.NVML_BRAND_GEFORCE,
    pynvml.NVML_BRAND_TITAN,
    pynvml.NVML_BRAND_GEFORCE_RTX,
    pynvml.NVML_BRAND_TITAN_RTX,
}
CAPPED_NAMES = ("P400", "T400", "MX350", "P106")
"""Low-end cards of other brands that are capped too."""

CAP_SINCE_DRIVER = (
    ((590, 0), 12),
    ((550, 0), 8),
    ((530, 41), 5),
    ((460, 67), 3),
    ((0, 0), 2),
)
"""Cap by the driver version that introduced it, newest first; as reported by users."""


@dataclass(frozen=True, slots=True)
class SessionLimit:
    """Number of sessions a GPU allows, and where the number comes from."""

    sessions: int
    reason: str


def is_capped(gpu: Gpu) -> bool:
    """Tell whether the driver caps the sessions of cards of this kind."""
    return gpu.brand in CAPPED_BRANDS or any(name in gpu.name.split() for name in CAPPED_NAMES)


def assumed_limit(gpu: Gpu) -> SessionLimit:
    """Return the limit by brand and driver, before any session was tried."""
    if not is_capped(gpu):
        return SessionLimit(UNCAPPED, f"{gpu.name} has no cap on sessions")
    version = _version(gpu.driver)
    cap = next(cap for since, cap in CAP_SINCE_DRIVER if version >= since)
    return SessionLimit(cap, f"driver {gpu.driver} opens {cap} sessions on consumer cards")


def effective_limit(gpu: Gpu, configured: int, learned: int | None) -> SessionLimit:
    """Return the configured limit, else the assumed one; lowered to what the driver opened.

    Args:
        gpu: the card.
        configured: ``METABONK_NVENC_MAX_SESSIONS``; 0 to determine it automatically.
        learned: from ``LearnedLimits``.
    """
    limit = (
        SessionLimit(configured, "METABONK_NVENC_MAX_SESSIONS")
        if configured
        else assumed_limit(gpu)
    )
    if learned == 0:
        return SessionLimit(0, f"{gpu.name} has no NVENC encoder")
    if learned is not None and learned < limit.sessions:
        return SessionLimit(learned, f"the driver refused to open more than {learned} at once")
    return limit


class _LearnedLimit(BaseModel):
    driver: str
    limit: int


_FILE = TypeAdapter(dict[str, _LearnedLimit])


class LearnedLimits:
    """Limits learned from refusals by drivers, on disk, shared by all processes and pools."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def learned(self, cards: str, driver: str) -> int | None:
        """Return the limit learned for these cards (their UUIDs) under their current driver."""
        entry = self._read().get(cards)
        return entry.limit if entry and entry.driver == driver else None

    def learn(self, cards: str, driver: str, limit: int) -> None:
        """Record that ``driver`` opened ``limit`` sessions on these cards and refused one more.

        Raises:
            SlotFolderError: another process keeps the file locked.
            OSError: it can't be written.
        """
        with locked(self._file.with_suffix(".lock")):
            entries = self._read() | {cards: _LearnedLimit(driver=driver, limit=limit)}
            write_atomically(self._file, _FILE.dump_json(entries))

    def _read(self) -> dict[str, _LearnedLimit]:
        try:
            return _FILE.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            move_aside_corrupt(self._file, error)
            return {}


def _version(driver: str) -> tuple[int, int]:
    parts = [int(part) if part.isdigit() else 0 for part in driver.split(".")[:2]]
    return (parts[0], parts[1] if len(parts) > 1 else 0)
