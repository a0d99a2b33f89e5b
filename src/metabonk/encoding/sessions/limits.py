"""How many encoder sessions a GPU opens: the user's number, else a table, lowered by experience.

NVIDIA's application note says that the cap counts all capped cards of a system together, across
processes; cards without a cap are bounded by their resources alone.
"""

from dataclasses import dataclass
from pathlib import Path

import pynvml
from pydantic import BaseModel, TypeAdapter, ValidationError

from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pool import locked
from metabonk.system.files import move_aside_corrupt, write_atomically

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
"""Cap by the driver that brought it; reported by users, newest first."""


class LearnedLimit(BaseModel):
    """What a driver's refusal taught."""

    driver: str
    limit: int


_EXPERIENCES = TypeAdapter(dict[str, LearnedLimit])


@dataclass(frozen=True, slots=True)
class Limit:
    """How many sessions, and how that is known."""

    sessions: int
    because: str


def is_capped(gpu: Gpu) -> bool:
    """Whether the driver caps the sessions of cards of this kind."""
    return gpu.brand in CAPPED_BRANDS or any(name in gpu.name.split() for name in CAPPED_NAMES)


def assumed_limit(gpu: Gpu) -> Limit:
    """The limit by brand and driver, before anything was tried."""
    if not is_capped(gpu):
        return Limit(UNCAPPED, f"{gpu.name} has no cap on sessions")
    version = _version(gpu.driver)
    cap = next(cap for since, cap in CAP_SINCE_DRIVER if version >= since)
    return Limit(cap, f"driver {gpu.driver} opens {cap} sessions on consumer cards")


def effective_limit(gpu: Gpu, configured: int, learned: int | None) -> Limit:
    """The user's number, else the table's; lowered to what the driver was seen to open.

    Args:
        gpu: the card.
        configured: ``METABONK_NVENC_MAX_SESSIONS``; 0 where the user leaves it to us.
        learned: from ``LearnedLimits``.
    """
    limit = Limit(configured, "METABONK_NVENC_MAX_SESSIONS") if configured else assumed_limit(gpu)
    if learned == 0:
        return Limit(0, f"{gpu.name} opens no session at all: it has no encoder")
    if learned is not None and learned < limit.sessions:
        return Limit(learned, f"the driver refused to open more than {learned} at once")
    return limit


class LearnedLimits:
    """Limits that drivers taught, on disk, for all processes and pools."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def learned(self, cards: str, driver: str) -> int | None:
        """What was learned of these cards (their UUIDs) under the driver they have now."""
        experience = self._read().get(cards)
        return experience.limit if experience and experience.driver == driver else None

    def learn(self, cards: str, driver: str, limit: int) -> None:
        """Remembers that ``driver`` opened ``limit`` sessions on these cards, not one more.

        Raises:
            SlotFolderError: another process keeps the file locked.
            OSError: it can't be written.
        """
        with locked(self._file.with_suffix(".lock")):
            experiences = self._read() | {cards: LearnedLimit(driver=driver, limit=limit)}
            write_atomically(self._file, _EXPERIENCES.dump_json(experiences))

    def _read(self) -> dict[str, LearnedLimit]:
        try:
            return _EXPERIENCES.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            move_aside_corrupt(self._file, error)
            return {}


def _version(driver: str) -> tuple[int, int]:
    parts = [int(part) if part.isdigit() else 0 for part in driver.split(".")[:2]]
    return (parts[0], parts[1] if len(parts) > 1 else 0)
