"""Session limits of a GPU: configured, else assumed by brand and driver; lowered by refusals.

A learned limit is kept for a while and then tried again, one session more at a time: the refusal
may have had another cause, such as a program that has ended since.

According to NVIDIA's application note, the cap counts all capped cards of a system together, across
processes; cards without a cap are bounded only by their resources.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import pynvml
from pydantic import BaseModel

from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.shared_table import SharedTable

OUT_OF_MEMORY = 10  # NV_ENC_ERR_OUT_OF_MEMORY
LIMIT_CODES = (OUT_OF_MEMORY, 21)  # NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY
"""The driver's codes for refusing a session beyond its limit."""

MIN_FREE_MEMORY = 512 << 20
"""Bytes of GPU memory. With less free, ``OUT_OF_MEMORY`` may mean just that: a session takes its
surfaces and, in a new process, a CUDA context."""

FIRST_TRIAL_S = 600.0
"""Seconds for which a learned limit is kept before one more session is tried."""

MAX_TRIAL_S = 6 * 3600.0
"""The same after many trials that were refused; each one doubles the time."""

CLIMB_S = 60.0
"""Time between one more session and the next, while none is refused."""

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


class LearnedLimit(BaseModel):
    """Sessions that a driver opened before it refused one more."""

    driver: str
    limit: int
    """0 for a card without an encoder, which no trial changes."""
    learned_at: float = 0.0
    """Unix time, seconds. Version 0.1 stored none."""
    trial_s: float = FIRST_TRIAL_S
    """Time until one more is tried, seconds."""

    def allowed(self, now: float) -> int:
        """Return the sessions to try at this Unix time."""
        late_s = now - self.learned_at - self.trial_s
        # A time in the future predates a change of the clock.
        is_kept = late_s < 0 and now >= self.learned_at
        return (
            self.limit
            if self.limit == 0 or is_kept
            else self.limit + 1 + int(max(0, late_s) // CLIMB_S)
        )

    def reason(self, now: float) -> str:
        """Return where the limit comes from, and until when it is kept."""
        refused = f"the driver refused to open more than {self.limit} at once"
        if self.allowed(now) > self.limit:
            return f"{refused} at {_clock_time(self.learned_at)}; {self.limit + 1} are being tried"
        trial = _clock_time(self.learned_at + self.trial_s)
        return f"{refused}, at {_clock_time(self.learned_at)}; one more is tried at {trial}"


def effective_limit(
    gpu: Gpu, configured: int, learned: LearnedLimit | None, now: float
) -> SessionLimit:
    """Return the configured limit, else the assumed one; lowered to what the driver opened.

    Args:
        gpu: the card.
        configured: ``METABONK_NVENC_MAX_SESSIONS``; 0 to determine it automatically.
        learned: from ``LearnedLimits``.
        now: Unix time, seconds.
    """
    limit = (
        SessionLimit(configured, "METABONK_NVENC_MAX_SESSIONS")
        if configured
        else assumed_limit(gpu)
    )
    if learned is None:
        return limit
    if learned.limit == 0:
        return SessionLimit(0, f"{gpu.name} has no NVENC encoder")
    if learned.allowed(now) < limit.sessions:
        return SessionLimit(learned.allowed(now), learned.reason(now))
    return limit


def memory_shortage(code: int, free: int | None) -> str | None:
    """Return why a refusal says nothing about the number of sessions; None if it does.

    Args:
        code: of the refusal, one of ``LIMIT_CODES``.
        free: memory of the GPU, bytes; None if the driver doesn't tell.
    """
    if code != OUT_OF_MEMORY:
        return None
    if free is None:
        return "the GPU's free memory is unknown"
    if free < MIN_FREE_MEMORY:
        return f"only {free >> 20} MB of the GPU's memory are free"
    return None


class LearnedLimits:
    """Limits learned from refusals by drivers, on disk, shared by all processes and pools."""

    def __init__(self, file: Path) -> None:
        self._table = SharedTable(file, LearnedLimit)

    def learned(self, cards: str, driver: str) -> LearnedLimit | None:
        """Return the limit learned for these cards (their UUIDs) under their current driver."""
        entry = self._table.get(cards)
        return entry if entry and entry.driver == driver else None

    def learn(self, cards: str, driver: str, limit: int) -> None:
        """Record that ``driver`` opened ``limit`` sessions on these cards and refused one more."""
        now = time.time()
        trial_s = FIRST_TRIAL_S
        before = self.learned(cards, driver)
        if before is not None and before.limit == limit:
            was_trial = before.allowed(now) > limit
            trial_s = min(before.trial_s * (2 if was_trial else 1), MAX_TRIAL_S)
        entry = LearnedLimit(driver=driver, limit=limit, learned_at=now, trial_s=trial_s)
        self._table.put(cards, entry)


def _clock_time(at: float) -> str:
    return time.strftime("%H:%M", time.localtime(at))


def _version(driver: str) -> tuple[int, int]:
    parts = [int(part) if part.isdigit() else 0 for part in driver.split(".")[:2]]
    return (parts[0], parts[1] if len(parts) > 1 else 0)
