"""What is known of the encoders of this host, for all processes of this user.

A result holds until the GPU, the driver or the library changes; one in doubt only for some minutes.
"""

import time
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from metabonk.durable import set_aside, write_durably
from metabonk.encoding.inventory import gstreamer_version
from metabonk.encoding.ladder import Proof, Rung, Scarcity
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pool import locked

DOUBT_S = 600.0
"""How long a crash or a hang is believed: unlike a missing encoder it may pass."""


class _Kept(BaseModel):
    works: bool
    reason: str
    until: float | None
    """Unix time at which it is forgotten."""


_FILE = TypeAdapter(dict[str, _Kept])


class Proofs:
    """Results on disk.

    Args:
        folder: a private one, as ``Pools.folder``.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "proofs.json"

    def known(self, rung: Rung, gpu: Gpu | None) -> Proof | None:
        """What came of trying ``rung`` on ``gpu``; None where nobody has tried."""
        kept = self._read().get(_key(rung, gpu))
        if kept is None or (kept.until is not None and not _is_near(kept.until)):
            return None
        return Proof(works=kept.works, reason=kept.reason)

    def keep(self, rung: Rung, gpu: Gpu | None, proof: Proof, *, doubtful: bool) -> None:
        """Keeps what came of it.

        Raises:
            SlotFolderError: another process keeps the file locked.
            OSError: it can't be written.
        """
        kept = _Kept(
            works=proof.works,
            reason=proof.reason,
            until=time.time() + DOUBT_S if doubtful else None,
        )
        with locked(self._file.with_suffix(".lock")):
            entries = self._read() | {_key(rung, gpu): kept}
            write_durably(self._file, _FILE.dump_json(entries))

    def _read(self) -> dict[str, _Kept]:
        try:
            return _FILE.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            set_aside(self._file, error)
            return {}


def _is_near(until: float) -> bool:
    """Whether a doubt still holds; one from further ahead was noted before the clock was set."""
    return 0 <= until - time.time() <= DOUBT_S


def _key(rung: Rung, gpu: Gpu | None) -> str:
    where = f"{gpu.uuid} driver {gpu.driver}" if gpu and rung.scarcity is Scarcity.NVENC else "host"
    with_what = f"av {version('av')}"
    if rung.backend.startswith("gst:"):
        with_what = f"{gstreamer_version()}, {with_what}"
    return f"{rung.backend} on {where} with {with_what}"
