"""What encoding costs: both engines in software, against bare programs doing the same work.

``python -m benchmarks.encoders [--rounds 3] [--frames 150] [--json FILE]`` writes raw RGB pictures
to a file once and has each of four encode them: MetaBonk's ``av:libx264`` and
``gst:appsrc:x264enc``, ``ffmpeg`` and ``gst-launch-1.0`` with the same settings. They take turns;
each is a process of its own, and what counts is the CPU time of the whole process, less that of a
run with a single picture, so that neither Python's start nor a program's is compared.
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
PICTURES = 30
"""In the file; they are gone through again and again, so that no disk is measured."""

OURS = {"av:libx264": "ffmpeg", "gst:appsrc:x264enc": "gst-launch-1.0"}


def write_pictures(file: Path) -> None:
    """A checked floor and a gradient that move, with a little noise: RGB, one after another."""
    height, width = SETTINGS.height, SETTINGS.width
    y, x = np.mgrid[0:height, 0:width]
    grain = np.random.default_rng(0).integers(0, 12, (height, width), np.uint8)
    with file.open("wb") as written:
        for number in range(PICTURES):
            shift = 6 * number
            floor = (((x + shift) // 48 + y // 48) % 2 * 90 + 60).astype(np.uint8)
            sky = ((x + y + shift) * 255 // (width + height) % 256).astype(np.uint8)
            written.write(np.stack([floor + grain, sky, floor // 2 + sky // 2], 2).tobytes())


def encode(backend: str, file: Path, frames: int) -> None:
    """MetaBonk's encoder on the pictures of the file, as a worker uses it."""
    shape = PICTURES, SETTINGS.height, SETTINGS.width, 3
    pictures = np.frombuffer(file.read_bytes(), np.uint8).reshape(shape)
    encoder = make_encoder(backend, SETTINGS, 0)
    for number in range(frames):
        frame = Frame(pictures[number % PICTURES], number / SETTINGS.fps)
        encoder.encode(frame, keyframe=False)
    encoder.close()


def bare(program: str, file: Path, frames: int) -> list[str]:
    """The same work by a program; it reads the file over and over."""
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
    # multifilesrc would need a file a picture: the file is repeated instead.
    repeated = file.with_name(f"{frames}.rgb")
    if not repeated.exists():
        whole, rest = divmod(frames, PICTURES)
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
    """CPU seconds of a whole process and its threads."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def measure(file: Path, rounds: int, frames: int) -> dict[str, list[float]]:
    """Milliseconds of CPU a frame, of each, round by round."""
    this = [sys.executable, "-m", "benchmarks.encoders", "--pictures", str(file)]

    def command(who: str, count: int) -> list[str]:
        if who in OURS:
            return [*this, "--backend", who, "--frames", str(count)]
        return bare(who, file, count)

    everybody = [
        name for pair in OURS.items() for name in pair if ":" in name or shutil.which(name)
    ]
    figures: dict[str, list[float]] = {who: [] for who in everybody}
    for _ in range(rounds):
        for who in everybody:
            spent = cpu_s(command(who, frames)) - cpu_s(command(who, 1))
            figures[who].append(spent / (frames - 1) * 1e3)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--backend", help=argparse.SUPPRESS)
    parser.add_argument("--pictures", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.backend:
        encode(arguments.backend, arguments.pictures, arguments.frames)
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        file = Path(folder) / "pictures.rgb"
        write_pictures(file)
        figures = measure(file, arguments.rounds, arguments.frames)
    table = Table("", "ms of CPU a frame (median)", "every round", "against the bare program")
    middle = {who: statistics.median(values) for who, values in figures.items()}
    for who, values in figures.items():
        base = middle.get(OURS.get(who, ""))
        ratio = f"{middle[who] / base:.2f}" if base else ""
        table.add_row(who, f"{middle[who]:.2f}", " ".join(f"{v:.2f}" for v in values), ratio)
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
