"""Child process of ``probe``: opens, feeds and closes one encoder, and prints a report."""

import argparse
import sys
from pathlib import Path

import numpy as np

from metabonk.encoding.backends import make_encoder
from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.ladder import RUNGS, PoolKind
from metabonk.encoding.probe import ProbeOutcome, ProbeReport
from metabonk.encoding.sessions import Pools, Refusal, open_pools
from metabonk.encoding.sessions.limits import LIMIT_CODES, NO_ENCODER_CODE
from metabonk.errors import EncoderBroken, EncoderUnavailable, EncodingError, StartError
from metabonk.frame import Frame
from metabonk.settings import read_settings
from metabonk.system.process import die_with_parent
from metabonk.system.text_streams import make_streams_showable

PROBE_FRAMES = 5
SETTINGS = EncoderSettings(width=640, height=360, fps=30, bitrate=1_000_000, gop_s=1.0)


def probe_encoder(backend: str, gpu_index: int, pools: Pools) -> ProbeReport:
    """Encode a few frames in this process, under a lease.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    rung = next(rung for rung in RUNGS if rung.backend == backend)
    pool = rung.pool(pools, gpu_index)
    if pool is None:
        reason = pools.no_nvenc_reason(gpu_index) or ""
        return ProbeReport(outcome=ProbeOutcome.NOT_PROBED, reason=reason)
    gpu = gpu_index if rung.pool_kind is PoolKind.NVENC else None
    lease = pool.take(worker="probe", purpose="probe", backend=backend, gpu=gpu)
    if isinstance(lease, Refusal):
        return ProbeReport(outcome=ProbeOutcome.AT_LIMIT, reason=lease.reason)
    with lease:
        try:
            device = pools.inventory.by_index.get(gpu_index)
            _encode_frames(backend, device.ordinal if device else 0)
        except EncoderUnavailable as error:
            if error.nvenc_code in LIMIT_CODES:
                if shortage := pools.memory_shortage(gpu_index, error.nvenc_code):
                    reason = f"{error}; {shortage}"
                    return ProbeReport(outcome=ProbeOutcome.NOT_PROBED, reason=reason)
                pool.refused_by_driver(lease)
                return ProbeReport(outcome=ProbeOutcome.AT_LIMIT, reason=str(error))
            if error.nvenc_code == NO_ENCODER_CODE:
                pools.mark_no_encoder(gpu_index)
                return ProbeReport(outcome=ProbeOutcome.FAILED, reason=str(error))
            return _failed(backend, str(error))
        except EncoderBroken as error:
            return _failed(backend, str(error))
    return ProbeReport(outcome=ProbeOutcome.WORKS)


def _encode_frames(backend: str, ordinal: int) -> None:
    encoder = make_encoder(backend, SETTINGS, ordinal)
    try:
        units = []
        for number in range(PROBE_FRAMES):
            pixels = np.full((SETTINGS.height, SETTINGS.width, 3), 40 * number, np.uint8)
            units += encoder.encode(Frame(pixels, number / SETTINGS.fps), keyframe=number == 0)
    finally:
        encoder.close()
    if not units or not units[0].keyframe:
        raise EncoderBroken(f"{backend} opened, but {PROBE_FRAMES} frames produced no keyframe")


def _failed(backend: str, reason: str) -> ProbeReport:
    # A missing GStreamer plugin may be installed at any time, which no version in the key shows.
    outcome = ProbeOutcome.QUARANTINED if backend.startswith("gst:") else ProbeOutcome.FAILED
    return ProbeReport(outcome=outcome, reason=reason)


def main() -> None:
    """Probe the encoder named on the command line and print the report as one line of JSON."""
    parser = argparse.ArgumentParser(description="Probe one encoder and print the outcome.")
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--gpu", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    make_streams_showable(as_utf8=True)
    try:
        die_with_parent(arguments.parent)
        pools = open_pools(read_settings(arguments.settings))
        report = probe_encoder(arguments.backend, arguments.gpu, pools)
    except (EncodingError, StartError) as error:
        report = ProbeReport(outcome=ProbeOutcome.NOT_PROBED, reason=str(error))
    sys.stdout.write(report.model_dump_json())


if __name__ == "__main__":
    main()
