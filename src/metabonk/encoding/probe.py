"""Proves an encoder by really encoding a few frames, in a child process.

A driver that crashes or hangs takes the child along and not the worker. The child leases its
session like everybody else. What came of it is kept (``proofs``).
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError

from metabonk.encoding.backends import make_encoder
from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.frame import Frame
from metabonk.encoding.ladder import RUNGS, PoolKind, ProbeResult, Rung, gstreamer_version
from metabonk.encoding.sessions import Pool, Pools, Refusal, open_pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pool import locked
from metabonk.errors import EncoderBroken, EncoderUnavailable, EncodingError, StartError
from metabonk.settings import read_settings
from metabonk.settings.environment import environment_with
from metabonk.system.files import move_aside_corrupt, write_atomically
from metabonk.system.process import die_with_parent

QUARANTINE_S = 600.0
"""How long a crash or a hang is believed: unlike a missing encoder it may pass."""


class _Kept(BaseModel):
    works: bool
    reason: str
    until: float | None
    """Unix time at which it is forgotten."""


_FILE = TypeAdapter(dict[str, _Kept])


class ProbeCache:
    """Results on disk.

    Args:
        folder: a private one, as ``Pools.folder``.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "proofs.json"

    def known(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | None:
        """What came of trying ``rung`` on ``gpu``; None where nobody has tried."""
        kept = self._read().get(_key(rung, gpu))
        if kept is None or (kept.until is not None and not _is_near(kept.until)):
            return None
        return ProbeResult(works=kept.works, reason=kept.reason)

    def keep(self, rung: Rung, gpu: Gpu | None, proof: ProbeResult, *, quarantined: bool) -> None:
        """Keeps what came of it.

        Raises:
            SlotFolderError: another process keeps the file locked.
            OSError: it can't be written.
        """
        kept = _Kept(
            works=proof.works,
            reason=proof.reason,
            until=time.time() + QUARANTINE_S if quarantined else None,
        )
        with locked(self._file.with_suffix(".lock")):
            entries = self._read() | {_key(rung, gpu): kept}
            write_atomically(self._file, _FILE.dump_json(entries))

    def _read(self) -> dict[str, _Kept]:
        try:
            return _FILE.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            move_aside_corrupt(self._file, error)
            return {}


def _is_near(until: float) -> bool:
    """Whether a doubt still holds; one from further ahead was noted before the clock was set."""
    return 0 <= until - time.time() <= QUARANTINE_S


def _key(rung: Rung, gpu: Gpu | None) -> str:
    where = (
        f"{gpu.uuid} driver {gpu.driver}" if gpu and rung.pool_kind is PoolKind.NVENC else "host"
    )
    with_what = f"av {version('av')}"
    if rung.backend.startswith("gst:"):
        with_what = f"{gstreamer_version()}, {with_what}"
    return f"{rung.backend} on {where} with {with_what}"


PROOF_TIMEOUT_S = 20.0
"""Opening takes 0.1 to 0.5 s; a driver that is reset meanwhile may need several."""

NO_ENCODER_HERE = 2  # NV_ENC_ERR_UNSUPPORTED_DEVICE
AT_THE_LIMIT = (10, 21)  # NV_ENC_ERR_OUT_OF_MEMORY, NV_ENC_ERR_INCOMPATIBLE_CLIENT_KEY

PROOF_FRAMES = 5

ENDED_BY_OTHERS = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a child that somebody ended, or the kernel for want of memory: says nothing of the
encoder, so that it is tried again at once."""


@dataclass(frozen=True, slots=True)
class NotProbed:
    """It could not be tried now; nothing is known yet.

    Attributes:
        reason: as a sentence.
        at_limit: whether it is that no session is free.
    """

    reason: str
    at_limit: bool


class _Outcome(StrEnum):
    WORKS = "works"
    OUT = "out"
    """Holds until the GPU, the driver or the library changes."""
    IN_DOUBT = "in doubt"
    """Out for now: a crash or a hang may pass, and a plugin may be added."""
    AT_LIMIT = "at the limit"
    """Not tried, since no session is free."""
    UNTRIED = "untried"
    """Not tried, for another reason."""


class _Result(BaseModel):
    """What the child prints: what came of the trial, and why it doesn't work."""

    outcome: _Outcome
    reason: str = ""


class EncoderProbe:
    """Proves rungs, each once a host.

    Args:
        settings_file: what ``write_settings`` wrote; the child finds pools and limits by it.
        proofs: what is known already, and where results are kept.
    """

    def __init__(self, settings_file: Path, proofs: ProbeCache) -> None:
        self._settings_file = settings_file
        self._proofs = proofs

    def known(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | None:
        """What is known of ``rung`` on ``gpu`` without trying it."""
        return self._proofs.known(rung, gpu)

    def prove(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | NotProbed:
        """What came of trying ``rung`` on ``gpu``: what is known, or else by trying it now.

        Raises:
            SlotFolderError: the result can't be kept.
        """
        return self._proofs.known(rung, gpu) or self.probe_now(rung, gpu)

    def probe_now(self, rung: Rung, gpu: Gpu | None) -> ProbeResult | NotProbed:
        """What comes of trying ``rung`` on ``gpu`` now, whatever is known.

        Raises:
            SlotFolderError: the result can't be kept.
        """
        result = self._try(rung, gpu)
        if result.outcome in (_Outcome.AT_LIMIT, _Outcome.UNTRIED):
            return NotProbed(result.reason, at_limit=result.outcome is _Outcome.AT_LIMIT)
        proof = ProbeResult(works=result.outcome is _Outcome.WORKS, reason=result.reason)
        quarantined = result.outcome is _Outcome.IN_DOUBT
        self._proofs.keep(rung, gpu, proof, quarantined=quarantined)
        return proof

    def _try(self, rung: Rung, gpu: Gpu | None) -> _Result:
        """The child's result."""
        command = [
            sys.executable,
            "-m",
            "metabonk.encoding.probe",
            "--settings",
            str(self._settings_file),
            "--backend",
            rung.backend,
            "--gpu",
            str(gpu.index if gpu else 0),
            "--parent",
            str(os.getpid()),
        ]
        try:
            child = subprocess.run(
                command,
                env=environment_with(gpu.environment if gpu else {}),
                capture_output=True,
                text=True,
                timeout=PROOF_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _in_doubt(f"hung for {PROOF_TIMEOUT_S:.0f} s while it was tried")
        if child.returncode in ENDED_BY_OTHERS:
            name = signal.Signals(-child.returncode).name
            return _Result(outcome=_Outcome.UNTRIED, reason=f"its trial was ended by {name}")
        if child.returncode < 0:
            return _in_doubt(f"crashed with signal {-child.returncode} while it was tried")
        try:
            return _Result.model_validate_json(child.stdout)
        except ValidationError:
            last = (child.stderr.strip().splitlines() or ["no output"])[-1]
            return _in_doubt(f"could not be tried: {last}")


def try_encoder(backend: str, gpu_index: int, pools: Pools) -> _Result:
    """Opens, feeds and closes the encoder in this process, under a lease.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    rung = next(rung for rung in RUNGS if rung.backend == backend)
    pool = pool_of(rung, gpu_index, pools)
    if pool is None:
        reason = pools.why_no_nvenc(gpu_index) or ""
        return _Result(outcome=_Outcome.UNTRIED, reason=reason)
    leased = gpu_index if rung.pool_kind is PoolKind.NVENC else None
    lease = pool.take(worker="probe", purpose="proof", backend=backend, gpu=leased)
    if isinstance(lease, Refusal):
        return _Result(outcome=_Outcome.AT_LIMIT, reason=lease.reason)
    with lease:
        try:
            gpu = pools.census.by_index.get(gpu_index)
            _encode_some(backend, gpu.ordinal if gpu else 0)
        except EncoderUnavailable as error:
            if error.nvenc_code in AT_THE_LIMIT:
                pool.refused_by_driver(lease)
                return _Result(outcome=_Outcome.AT_LIMIT, reason=str(error))
            if error.nvenc_code == NO_ENCODER_HERE:
                pools.learn_that_there_is_no_encoder(gpu_index)
                return _Result(outcome=_Outcome.OUT, reason=str(error))
            return _out(backend, str(error))
        except EncoderBroken as error:
            return _out(backend, str(error))
    return _Result(outcome=_Outcome.WORKS)


def pool_of(rung: Rung, gpu_index: int, pools: Pools) -> Pool | None:
    """The pool that this rung's sessions come from; None where its GPU is not there."""
    match rung.pool_kind:
        case PoolKind.NVENC:
            return pools.nvenc(gpu_index)
        case PoolKind.VA:
            return pools.va
        case PoolKind.CPU:
            return pools.cpu


def _encode_some(backend: str, ordinal: int) -> None:
    settings = EncoderSettings(width=640, height=360, fps=30, bitrate=1_000_000, gop_s=1.0)
    encoder = make_encoder(backend, settings, ordinal)
    try:
        units = []
        for number in range(PROOF_FRAMES):
            pixels = np.full((settings.height, settings.width, 3), 40 * number, np.uint8)
            units += encoder.encode(Frame(pixels, number / settings.fps), keyframe=number == 0)
    finally:
        encoder.close()
    if not units or not units[0].keyframe:
        raise EncoderBroken(f"{backend} opened, but gave no keyframe for {PROOF_FRAMES} frames")


def _out(backend: str, reason: str) -> _Result:
    """Also a plugin of GStreamer's that is missing: it may be added."""
    lasting = not backend.startswith("gst:")
    return _Result(outcome=_Outcome.OUT if lasting else _Outcome.IN_DOUBT, reason=reason)


def _in_doubt(reason: str) -> _Result:
    return _Result(outcome=_Outcome.IN_DOUBT, reason=reason)


def main() -> None:
    """The child: prints its result as one line of JSON."""
    parser = argparse.ArgumentParser(description="Tries one encoder and prints what came of it.")
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--gpu", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    try:
        die_with_parent(arguments.parent)
        pools = open_pools(read_settings(arguments.settings))
        result = try_encoder(arguments.backend, arguments.gpu, pools)
    except (EncodingError, StartError) as error:
        result = _Result(outcome=_Outcome.UNTRIED, reason=str(error))
    sys.stdout.write(result.model_dump_json())


if __name__ == "__main__":
    main()
