"""CPU cost of software encoding, compared with ``ffmpeg`` and ``gst-launch-1.0``.

``python -m benchmarks.encoders [--rounds 3] [--frames 150] [--json FILE]`` encodes the same raw RGB
frames with ``av:libx264``, ``gst:appsrc:x264enc``, ``ffmpeg`` and ``gst-launch-1.0`` at the same
settings, in alternating rounds and separate processes. It prints milliseconds of CPU per frame of
the whole process; a run with a single frame is subtracted to cancel the cost of starting.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from metabonk.encoding.backends import make_encoder
from metabonk.encoding.backends.gst_elements import (
    COLORIMETRY_RGB,
    SOFTWARE,
    candidates,
    pipeline,
)
from metabonk.encoding.encoder import EncoderSettings
from metabonk.frame import Frame

SETTINGS = EncoderSettings(width=1280, height=720, fps=30, bitrate=4_000_000, gop_s=2.0)
FRAMES = 30
"""Distinct frames in the file, which are repeated, so that no disk is measured."""

REFERENCES = {"av:libx264": "ffmpeg", "gst:appsrc:x264enc": "gst-launch-1.0"}


def write_frames(file: Path) -> None:
    """Write raw RGB frames of a moving checkerboard and gradient with a little noise."""
    height, width = SETTINGS.height, SETTINGS.width
    y, x = np.mgrid[0:height, 0:width]
    grain = np.random.default_rng(0).integers(0, 12, (height, width), np.uint8)
    with file.open("wb") as written:
        for number in range(FRAMES):
            shift = 6 * number
            floor = (((x + shift) // 48 + y // 48) % 2 * 90 + 60).astype(np.uint8)
            sky = ((x + y + shift) * 255 // (width + height) % 256).astype(np.uint8)
            written.write(np.stack([floor + grain, sky, floor // 2 + sky // 2], 2).tobytes())


def encode(backend: str, file: Path, frames: int) -> None:
    """Encode the frames of the file with one of MetaBonk's encoders."""
    shape = FRAMES, SETTINGS.height, SETTINGS.width, 3
    images = np.frombuffer(file.read_bytes(), np.uint8).reshape(shape)
    encoder = make_encoder(backend, SETTINGS, 0)
    for number in range(frames):
        frame = Frame(images[number % FRAMES], number / SETTINGS.fps)
        encoder.encode(frame, keyframe=False)
    encoder.close()


def reference_command(program: str, file: Path, frames: int) -> list[str]:
    """Return the command of a program that does the same work."""
    size = SETTINGS.width * SETTINGS.height * 3
    if program == "ffmpeg":
        shape = (
            f"-f rawvideo -pix_fmt rgb24 -s {SETTINGS.width}x{SETTINGS.height} -r {SETTINGS.fps}"
        )
        kbit = SETTINGS.bitrate // 1000
        coding = (
            f"-vf scale=out_color_matrix=bt709:out_range=tv -pix_fmt yuv420p -c:v libx264 "
            f"-preset ultrafast -tune zerolatency -profile:v baseline -threads 1 -b:v {kbit}k "
            f"-maxrate {kbit}k -bufsize {kbit // 4}k -g {SETTINGS.gop_frames} -f h264 -y /dev/null"
        )
        loops = f"-stream_loop -1 {shape} -i {file} -frames:v {frames}"
        return f"ffmpeg -nostdin -v error -filter_threads 1 {loops} {coding}".split()
    element = candidates(SOFTWARE, (1, 22), SETTINGS, 0, 1)[0]
    settings = " ".join(f"{name}={value}" for name, value in element.properties)
    ours = pipeline(element, SETTINGS, cuda=False)
    middle = ours.partition(" ! ")[2].rpartition(" ! ")[0]
    middle = middle.replace("name=encoder", settings)
    # multifilesrc would need one file per frame, so the file itself is repeated.
    repeated = file.with_name(f"{frames}.rgb")
    if not repeated.exists():
        whole, rest = divmod(frames, FRAMES)
        pixels = file.read_bytes()
        with repeated.open("wb") as written:
            for _ in range(whole):
                written.write(pixels)
            written.write(pixels[: rest * size])
    parse = (
        f"filesrc location={repeated} blocksize={size} ! rawvideoparse format=rgb "
        f"width={SETTINGS.width} height={SETTINGS.height} framerate={SETTINGS.fps}/1 "
        f"colorimetry={COLORIMETRY_RGB}"
    )
    return f"gst-launch-1.0 -q {parse} ! {middle} ! fakesink sync=false".split()


def cpu_s(command: list[str]) -> float:
    """Run a command and return the CPU seconds of its process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def measure(file: Path, rounds: int, frames: int) -> dict[str, list[float]]:
    """Return milliseconds of CPU per frame for each encoder, round by round."""
    this = [sys.executable, "-m", "benchmarks.encoders", "--file", str(file)]

    def command(name: str, count: int) -> list[str]:
        if name in REFERENCES:
            return [*this, "--backend", name, "--frames", str(count)]
        return reference_command(name, file, count)

    names = [
        each for pair in REFERENCES.items() for each in pair if ":" in each or shutil.which(each)
    ]
    results: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            spent = cpu_s(command(name, frames)) - cpu_s(command(name, 1))
            results[name].append(spent / (frames - 1) * 1e3)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--backend", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.backend:
        encode(arguments.backend, arguments.file, arguments.frames)
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        file = Path(folder) / "frames.rgb"
        write_frames(file)
        results = measure(file, arguments.rounds, arguments.frames)
    table = Table("encoder", "CPU ms per frame (median)", "all rounds", "ratio to the program")
    medians = {name: statistics.median(values) for name, values in results.items()}
    for name, values in results.items():
        base = medians.get(REFERENCES.get(name, ""))
        ratio = f"{medians[name] / base:.2f}" if base else ""
        table.add_row(name, f"{medians[name]:.2f}", " ".join(f"{v:.2f}" for v in values), ratio)
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
