"""The simulated driver behaves as the real one is known to."""

import json
import subprocess
import sys
from pathlib import Path

import av
import pytest

from tests.support.nvsim.driver import INCOMPATIBLE_CLIENT_KEY, SimulatedDriver

ENCODE = """
import json, sys
import numpy as np
from metabonk.encoding.backends.av import AvEncoder
from metabonk.encoding.encoder import EncoderSettings
from metabonk.errors import EncodingError
from metabonk.frame import Frame

settings = EncoderSettings(640, 360, 30, 1_000_000, 1.0)
encoders, report = [], {"codes": [], "keyframes": [], "units": b"", "broken": ""}
for _ in range(int(sys.argv[1])):
    try:
        encoders.append(AvEncoder(settings, "h264_nvenc", int(sys.argv[2])))
        report["codes"].append(0)
    except EncodingError as error:
        report["codes"].append(error.nvenc_code)
try:
    for number in range(int(sys.argv[3]) if encoders else 0):
        image = np.zeros((360, 640, 3), np.uint8)
        image[:, : number * 10] = 255, 0, 0
        units = encoders[0].encode(Frame(image, number / 30), keyframe=number == 20)
        report["keyframes"] += [number for unit in units if unit.keyframe]
        report["units"] += b"".join(unit.data for unit in units)
except EncodingError as error:
    report["broken"] = str(error)
report["units"] = report["units"].hex()
print(json.dumps(report))
"""

LIST = """
import json
from dataclasses import astuple
from metabonk.encoding.sessions.nvml import Nvml

gpus = Nvml().inventory().gpus
print(json.dumps([[g.name, g.brand, g.driver, g.session_count, [astuple(s) for s in g.sessions]]
                  for g in gpus]))
"""


@pytest.fixture
def driver(tmp_path: Path) -> SimulatedDriver:
    return SimulatedDriver(tmp_path / "driver", cap=2, name="NVIDIA GeForce RTX 4070")


def python(driver: SimulatedDriver, program: str, *arguments: object) -> dict:
    run = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={"PYTHONPATH": ":".join(sys.path), **driver.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def test_encoded_frames_decode_to_the_original_images(driver: SimulatedDriver):
    report = python(driver, ENCODE, 1, 0, 45)
    decoder = av.CodecContext.create("h264", "r")
    packets = [*decoder.parse(bytes.fromhex(report["units"])), *decoder.parse(), None]
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    assert len(frames) == 45
    image = frames[30].to_ndarray(format="rgb24").astype(int)
    red, black = image[180, 150], image[180, 500]
    assert red[0] > 200 > 60 > red[1]
    assert black.max() < 40


def test_keyframes_come_on_request_and_once_per_group(driver: SimulatedDriver):
    assert python(driver, ENCODE, 1, 0, 55)["keyframes"] == [0, 20, 50]


@pytest.mark.parametrize("refusal", [10, INCOMPATIBLE_CLIENT_KEY])
def test_it_refuses_sessions_beyond_its_cap(driver: SimulatedDriver, refusal: int):
    driver.set(refusal=refusal)
    assert python(driver, ENCODE, 3, 0, 0)["codes"] == [0, 0, refusal]
    assert [event.detail for event in driver.events("refused")] == [refusal]
    assert driver.most_open() == 2
    assert driver.open_now() == 0


def test_external_sessions_count(driver: SimulatedDriver):
    with driver.external_sessions(1):
        assert driver.open_now() == 1
        assert python(driver, ENCODE, 2, 0, 0)["codes"] == [0, 10]
    assert driver.open_now() == 0


def test_a_gpu_without_an_encoder_refuses_every_open_with_2(driver: SimulatedDriver):
    driver.set(open_code=2)
    assert python(driver, ENCODE, 1, 0, 0)["codes"] == [2]


def test_without_memory_a_gpu_refuses_every_open_with_10(driver: SimulatedDriver):
    driver.set(gpus=2)
    driver.set_gpu(1, memory_free=50)
    assert python(driver, ENCODE, 1, 0, 0)["codes"] == [0]
    assert python(driver, ENCODE, 1, 1, 0)["codes"] == [10]


def test_an_encoder_can_fail_in_mid_stream(driver: SimulatedDriver):
    driver.set(encode_fails_after=7)
    report = python(driver, ENCODE, 1, 0, 20)
    assert "configured to fail" in report["broken"]
    assert report["units"]


def test_nvml_lists_sessions_with_the_hosts_pids(driver: SimulatedDriver):
    driver.set(gpus=2, host_pids=1000, driver="550.54")
    with driver.external_sessions(1, gpu=1, pid=7):
        first, second = python(driver, LIST)
    assert first == ["NVIDIA GeForce RTX 4070", 5, "550.54", 0, []]
    assert second[3:] == [1, [[1007, 1920, 1080, 60]]]


def test_nvml_may_count_sessions_without_listing_them(driver: SimulatedDriver):
    driver.set(listed=0)
    with driver.external_sessions(2):
        assert python(driver, LIST)[0][3:] == [2, []]


def test_without_a_gpu_nvml_lists_nothing(driver: SimulatedDriver):
    driver.set(gpus=0)
    assert python(driver, LIST) == []


INVENTORY = """
import json
from metabonk.encoding.sessions.nvml import Nvml

nvml = Nvml()
found = nvml.inventory()
print(json.dumps([
    [[gpu.index, gpu.slices] for gpu in found.gpus],
    [[gpu.index, gpu.reason] for gpu in found.failed],
    found.unavailable,
    [nvml.sessions(index)[1] for index in range(3)],
]))
"""


def test_a_gpu_that_is_lost_hides_no_other(driver: SimulatedDriver):
    driver.set(gpus=3)
    driver.set_gpu(1, lost=1)
    with driver.external_sessions(1, gpu=2):
        gpus, failed, unavailable, sessions = python(driver, INVENTORY)
    assert [index for index, _ in gpus] == [0, 2]
    assert failed == [[1, "GPU is lost"]]
    assert unavailable is None
    assert sessions == [0, 0, 1]


def test_if_every_gpu_is_lost_the_reason_is_kept(driver: SimulatedDriver):
    driver.set(lost=1)
    assert python(driver, INVENTORY)[2] == (
        "the NVIDIA driver can't query any GPU (GPU 0: GPU is lost)"
    )


def test_a_gpu_names_its_mig_slices(driver: SimulatedDriver):
    driver.set(gpus=2)
    driver.set_gpu(1, mig=2)
    gpus = dict(python(driver, INVENTORY)[0])
    assert gpus[0] == []
    assert gpus[1] == [f"MIG-00000000-0000-0000-{number:04}-000000000001" for number in range(2)]
