"""GStreamer's encoders: their failures, and NVENC on the simulated driver in its own process.

FFmpeg's NVENC with frames in CUDA memory is tested with them.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import pytest

from metabonk.encoding.backends import gst_library, make_encoder
from metabonk.encoding.backends.gst_library import Library, library
from metabonk.encoding.encoder import EncoderSettings
from metabonk.errors import EncoderUnavailable
from tests.support.gstreamer import require_gstreamer
from tests.support.nvsim.driver import UNSUPPORTED_DEVICE, SimulatedDriver

SETTINGS = EncoderSettings(width=320, height=180, fps=30, bitrate=1_000_000, gop_s=2.0)
APPSRC, CUDA = "gst:appsrc:nvh264enc", "gst:cuda_appsrc:nvh264enc"
FFMPEG_CUDA = "av:cuda:h264_nvenc"

PROGRAM = """
import json, os, sys
import numpy as np
from metabonk.encoding.backends import make_encoder
from metabonk.encoding.encoder import EncoderSettings
from metabonk.errors import EncodingError
from metabonk.frame import Frame

if "cuda" in sys.argv[1]:
    import torch
    from tests.support.nvsim import as_torch_device
    as_torch_device.install()

class ForeignTensor:
    def __init__(self, pixels):
        self.pixels, self.shape = torch.from_numpy(pixels), pixels.shape
    def __dlpack__(self, *arguments, **options):
        return self.pixels.__dlpack__(*arguments, **options)
    def __dlpack_device__(self):
        return self.pixels.__dlpack_device__()

def resources():
    threads = len(os.listdir("/proc/self/task"))
    files = len(os.listdir("/proc/self/fd"))
    memory = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return threads, files, memory

backend, rounds, frames, wrap = sys.argv[1], *map(int, sys.argv[2:5])
settings = EncoderSettings(320, 180, 30, 1_000_000, 1.0)
report = {"resources": [], "keyframes": [], "times": [], "units": "", "error": "", "code": None}
try:
    for round in range(rounds):
        encoder = make_encoder(backend, settings, 0)
        for number in range(frames):
            image = np.zeros((180, 320, 3), np.uint8)
            image[:, : number * 5] = 255, 0, 0
            pixels = ForeignTensor(image) if wrap else image
            units = encoder.encode(Frame(pixels, 50 + number / 30), keyframe=number == 20)
            if round == 0:
                report["keyframes"] += [number for unit in units if unit.keyframe]
                report["times"] += [unit.captured_at for unit in units]
                report["units"] += b"".join(unit.data for unit in units).hex()
        encoder.close()
        report["resources"].append(resources())
except EncodingError as error:
    report["error"], report["code"] = str(error), getattr(error, "nvenc_code", None)
print(json.dumps(report))
"""


@pytest.fixture
def driver(tmp_path: Path) -> SimulatedDriver:
    require_gstreamer()
    return SimulatedDriver(tmp_path / "driver", cap=1, name="NVIDIA GeForce RTX 4070")


def run(
    driver: SimulatedDriver, backend: str, *, rounds: int = 1, frames: int = 45, wrap: bool = False
) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, backend, str(rounds), str(frames), str(int(wrap))],
        env={"PATH": os.defpath, "PYTHONPATH": ":".join(sys.path), **driver.environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    assert "OpenEncodeSessionEx" not in done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("backend", "wrap"), [(APPSRC, False), (CUDA, True), (FFMPEG_CUDA, True)])
def test_encoded_frames_decode_to_the_original_images(
    driver: SimulatedDriver, backend: str, wrap: bool
):
    report = run(driver, backend, wrap=wrap)
    assert report["error"] == ""
    assert report["times"] == [50 + number / 30 for number in range(45)]
    assert report["keyframes"] == [0, 20]
    decoder = av.CodecContext.create("h264", "r")
    packets = [*decoder.parse(bytes.fromhex(report["units"])), *decoder.parse(), None]
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    assert len(frames) == 45
    shown = frames[30].to_ndarray(format="rgb24").astype(int)
    red, black = shown[90, 75], shown[90, 250]
    assert red[0] > 200 > 60 > red[1]
    assert black.max() < 40
    if "cuda" in backend:
        assert driver.events("downloaded") == driver.events("uploaded") == [], (
            "frames stay on the device"
        )


def test_it_never_opens_more_than_one_session(driver: SimulatedDriver):
    assert run(driver, APPSRC, rounds=2, frames=3)["error"] == ""
    assert driver.events("refused") == []
    assert driver.most_open() == 1
    assert driver.open_now() == 0


@pytest.mark.parametrize("backend", [APPSRC, CUDA, FFMPEG_CUDA])
def test_twenty_consecutive_sessions_leak_nothing(driver: SimulatedDriver, backend: str):
    report = run(driver, backend, rounds=20, frames=10)
    assert (report["error"], report["keyframes"]) == ("", [0])
    threads, files, memory = zip(*report["resources"], strict=True)
    assert Counter(files[4:]).keys() == {files[-1]}
    assert max(threads[4:]) <= threads[4] + 1
    assert memory[-1] - memory[4] < 8_000_000


def test_at_the_limit_the_error_carries_the_drivers_code(driver: SimulatedDriver):
    with driver.external_sessions(1):
        report = run(driver, APPSRC)
    assert report["code"] == 10
    assert "could open no NVENC session (code 10)" in report["error"]


def test_a_gpu_without_an_encoder_is_recognised_by_the_code(driver: SimulatedDriver):
    driver.set(open_code=UNSUPPORTED_DEVICE)
    assert run(driver, APPSRC)["code"] == UNSUPPORTED_DEVICE


def test_an_encoder_failing_in_mid_stream_raises(driver: SimulatedDriver):
    driver.set(encode_fails_after=7)
    report = run(driver, APPSRC)
    assert "gst:appsrc:nvh264enc stopped working: " in report["error"]
    assert len(report["times"]) >= 5
    assert driver.open_now() == 0


def test_a_missing_plugin_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    require_gstreamer()
    whole = library()
    bare = Library(whole.gst, whole.video, whole.c, whole.version, tmp_path)
    with pytest.raises(EncoderUnavailable, match=r"apt-get install gstreamer1\.0-plugins-ugly"):
        bare.load(("x264",))
    # A new name, because GStreamer remembers loaded plugins by file name.
    (tmp_path / "libgstbroken.so").write_text("no library")
    with pytest.raises(EncoderUnavailable, match="GStreamer can't load its plugin broken: "):
        bare.load(("broken",))


def test_without_the_bindings_the_command_that_installs_them_is_named(
    monkeypatch: pytest.MonkeyPatch,
):
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(gst_library.importlib, "import_module", absent)
    library.cache_clear()
    try:
        with pytest.raises(EncoderUnavailable, match=r"pip install '\S+\[gst\]'"):
            make_encoder("gst:appsrc:x264enc", SETTINGS, 0)
    finally:
        library.cache_clear()


def test_nothing_is_scanned_and_no_registry_is_written(tmp_path: Path):
    require_gstreamer()
    program = (
        "from metabonk.encoding.backends.gst_library import library;"
        "print([plugin.get_name() for plugin in library().gst.Registry.get().get_plugin_list()])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "['staticelements']"
    assert list(tmp_path.rglob("*")) == []
