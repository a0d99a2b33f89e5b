"""Encoder sessions, end to end: real fleets on a simulated NVIDIA driver."""

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from metabonk.messages import EpochMessage, StateMessage, StreamState, WorkerStatus
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.nvsim.driver import INCOMPATIBLE_CLIENT_KEY, UNSUPPORTED_DEVICE, SimulatedDriver
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(180)

NVENC, SOFTWARE = "av:h264_nvenc", "av:libx264"

SMALL = {
    "METABONK_STREAM_WIDTH": "256",
    "METABONK_STREAM_HEIGHT": "144",
    "METABONK_STREAM_FPS": "15",
    "METABONK_STREAM_ENGINE": "av",
}
"""A stream that costs little: the simulated encoder works on the processor. GStreamer has tests of
its own (``test_gstreamer``)."""

ROTATE_S = 5


@contextmanager
def fleet_on(
    driver: SimulatedDriver, folder: Path, workers: int, **variables: object
) -> Iterator[FleetUnderTest]:
    """A fleet of ``workers`` on this driver; it is stopped as a user stops it."""
    settings = {f"METABONK_{name}": str(value) for name, value in variables.items()}
    environment = {**SMALL, **driver.environment, **settings}
    arguments = ("--workers", str(workers), "--game", "doom:basic")
    with run_fleet(folder, *arguments, environment=environment) as fleet:
        yield fleet
        assert fleet.stop() < 10
    # One that hung may have to be killed; the kernel frees its session a moment later.
    until("no session is left open", lambda: driver.open_now() == 0, 2)


def _all(fleet: FleetUnderTest) -> list[WorkerStatus]:
    return list(fleet.statuses().values())


def names(statuses: list[WorkerStatus]) -> set[str]:
    return {status.instance_id for status in statuses}


def live(fleet: FleetUnderTest) -> set[str]:
    return names(fleet.in_state(StreamState.LIVE))


def logs(fleet: FleetUnderTest, workers: int) -> str:
    return "".join(fleet.log(name) for name in [f"omega-{i}" for i in range(workers)])


def head(fleet: FleetUnderTest, index: int) -> int:
    return httpx.head(f"{fleet.worker(index)}/stream.mp4").status_code


def answers(fleet: FleetUnderTest, workers: int) -> list[int]:
    return sorted(head(fleet, index) for index in range(workers))


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_two_sessions_show_two_workers_and_the_others_train_without(workers: int, tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    limits = {"NVENC_MAX_SESSIONS": 2, "FEATURED_ROTATE_S": ROTATE_S}
    with fleet_on(driver, tmp_path, workers, **limits) as fleet:
        until("two are live", lambda: len(live(fleet)) == 2, 60)
        expected = [200, 200, *[503] * (workers - 2)]
        until("200 and 503 as the matrix says", lambda: answers(fleet, workers) == expected, 10)
        before = {name: status.step for name, status in fleet.statuses().items()}
        shown: list[frozenset[str]] = []

        def rotated() -> bool:
            now = frozenset(live(fleet))
            if len(now) == 2 and now not in shown[-1:]:
                shown.append(now)
            had_a_turn = frozenset().union(*shown)
            return workers == 2 or (len(shown) > 3 and len(had_a_turn) == workers)

        began = time.monotonic()
        until("three rotations in which everybody has a turn", rotated, 60)
        if workers == 2:
            time.sleep(max(0.0, began + ROTATE_S * 1.5 - time.monotonic()))
            assert live(fleet) == {"omega-0", "omega-1"}, "nothing rotates where all are live"
        after = fleet.statuses()
        assert all(after[name].step > steps + 20 for name, steps in before.items())
        if workers > 2:
            assert all(s.nvenc_limit == 2 for s in after.values())
    said = logs(fleet, workers)
    assert driver.events("refused") == []
    assert driver.most_open() == 2
    assert "OpenEncodeSessionEx failed" not in said
    assert said.count("Acquired NVENC session") == said.count("Released NVENC session")
    assert ("Session limit reached" in said) == (workers > 2)


def test_standby_workers_lose_nothing_to_those_that_stream(tmp_path: Path):
    """Against the same fleet with streaming switched off."""

    def standby_rate(name: str, enabled: int) -> float:
        driver = SimulatedDriver(tmp_path / name / "driver", cap=2)
        settings = {"NVENC_MAX_SESSIONS": 2, "STREAM_ENABLED": enabled, "FEATURED_ROTATE_S": 600}
        with fleet_on(driver, tmp_path / name, 4, **settings) as fleet:
            live_ones = 2 * enabled
            until("all play", lambda: [s.step > 50 for s in _all(fleet)] == [True] * 4, 60)
            until("the fleet settles", lambda: len(live(fleet)) == live_ones, 30)

            def steps() -> dict[str, int]:
                standby = fleet.in_state(StreamState.STANDBY)
                return {status.instance_id: status.step for status in standby}

            before, began = steps(), time.monotonic()
            time.sleep(8)
            elapsed = time.monotonic() - began
            after = steps()
        assert len(before) == 4 - live_ones
        return statistics.fmean((after[name] - before[name]) / elapsed for name in before)

    assert standby_rate("streaming", 1) >= standby_rate("off", 0)


@pytest.mark.parametrize("fallback", [0, 1])
def test_another_program_takes_a_session_and_gives_it_back(fallback: int, tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=3)
    settings = {"NVENC_MAX_SESSIONS": 2, "STREAM_ALLOW_CPU_FALLBACK": fallback}
    with fleet_on(driver, tmp_path, 2, **settings, FEATURED_ROTATE_S=600) as fleet:

        def backends() -> list[str]:
            return sorted(status.stream_backend for status in fleet.in_state(StreamState.LIVE))

        until("both are live", lambda: backends() == [NVENC, NVENC], 60)
        with driver.external_sessions(1):
            yielded = [NVENC, SOFTWARE] if fallback else [NVENC]
            until("the fleet yields", lambda: backends() == yielded, 30)
            until("one session is given up", lambda: driver.open_now() == 2, 5)
            status = fleet.command("nvenc", "status", "--workers", "2").stdout
            assert "other program: pid 1, 1920×1080 at 60 fps" in status
        until("both are back on the GPU", lambda: backends() == [NVENC, NVENC], 30)
    assert driver.events("refused") == []


def test_a_stream_is_larger_through_the_gpu_and_what_the_status_says_is_what_comes(
    tmp_path: Path,
):
    """Sizes as they come; the rate alone is lowered, as the simulated encoder takes a core."""
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    settings = {"NVENC_MAX_SESSIONS": 1, "STREAM_ALLOW_CPU_FALLBACK": 1, "STREAM_ADAPTIVE": 0}
    unset = {"STREAM_WIDTH": "", "STREAM_HEIGHT": "", "STREAM_FPS": 5}
    with fleet_on(driver, tmp_path, 1, **settings, **unset) as fleet:

        def shown() -> tuple[str, int, int] | None:
            """Backend and size, once the stream and the status agree on it."""
            for status in fleet.in_state(StreamState.LIVE):
                with av.open(status.stream_url, timeout=20) as container:
                    picture = next(container.decode(video=0))
                size = status.spectator_width, status.spectator_height
                if (picture.width, picture.height) == size:
                    return status.stream_backend, *size
            return None

        until("through the GPU", lambda: shown() == (NVENC, 1920, 1080), 90)
        until("it is drawn large", lambda: _drawn(fleet) == (1280, 720), 60)
        with driver.external_sessions(1):
            until("in software", lambda: shown() == (SOFTWARE, 1280, 720), 30)
        until("through the GPU again", lambda: shown() == (NVENC, 1920, 1080), 30)
        assert fleet.statuses()["omega-0"].stream_target_fps == 5
    assert driver.events("refused") == []


def _drawn(fleet: FleetUnderTest) -> tuple[int, int]:
    status = fleet.statuses()["omega-0"]
    return status.pixel_src_width, status.pixel_src_height


def test_in_a_container_whose_pids_the_driver_does_not_know_our_sessions_are_ours(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2, host_pids=100_000)
    with fleet_on(driver, tmp_path, 2, NVENC_MAX_SESSIONS=2) as fleet:
        until("both are live", lambda: len(live(fleet)) == 2, 60)
        status = fleet.command("nvenc", "status", "--workers", "2").stdout
    assert "nvenc-gpu0 2 of 2" in status
    assert "other program" not in status
    assert driver.events("refused") == []


def test_a_lower_limit_than_the_table_says_is_learned_from_one_refusal(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=1, refusal=INCOMPATIBLE_CLIENT_KEY)
    with fleet_on(driver, tmp_path, 2, FEATURED_ROTATE_S=ROTATE_S) as fleet:
        until("one is live", lambda: len(live(fleet)) == 1, 60)
        until("the limit is learned", lambda: _limits(fleet) == {1}, 30)
        refused = len(driver.events("refused"))
        first = live(fleet)
        until("the other one's turn", lambda: live(fleet) not in (first, set()), 30)
        status = fleet.command("nvenc", "status", "--workers", "2").stdout
    assert "the driver refused to open more than 1 at once" in status
    assert len(driver.events("refused")) == refused <= 2, "no refusal more than it took to learn"


def _limits(fleet: FleetUnderTest) -> set[int | None]:
    return {status.nvenc_limit for status in fleet.statuses().values()}


def test_a_gpu_without_an_encoder_is_found_and_software_takes_its_place(tmp_path: Path):
    driver = SimulatedDriver(
        tmp_path / "driver", name="NVIDIA H200", brand=14, open_code=UNSUPPORTED_DEVICE
    )
    with fleet_on(driver, tmp_path, 1) as fleet:
        until("it is live", lambda: live(fleet), 60)
        assert fleet.statuses()["omega-0"].stream_backend == SOFTWARE
        status = fleet.command("nvenc", "status", "--workers", "1").stdout
    assert "Encoder av:h264_nvenc: out: FFmpeg can't open h264_nvenc" in status
    assert "unsupported device (2)" in status
    assert "nvenc-gpu0 0 of 0" in status
    assert "NVIDIA H200 has no NVENC encoder" in status
    assert "falls back to av:libx264" in logs(fleet, 1)


def test_an_encoder_that_fails_in_mid_stream_is_opened_again_and_viewers_stay(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    with fleet_on(driver, tmp_path, 1, NVENC_MAX_SESSIONS=2) as fleet:
        until("it is live", lambda: live(fleet), 60)
        with connect(f"{fleet.worker(0).replace('http', 'ws')}/stream") as viewer:
            assert next_epoch(viewer) == 1
            driver.set(encode_fails_after=0)
            broken = until("it is not live", lambda: _not_live(fleet), 20)
            assert "configured to fail" in (broken.streamer_last_error or "")
            driver.set(encode_fails_after=-1)
            assert next_epoch(viewer) == 2
            assert isinstance(viewer.recv(5), bytes)
        until("it is live again", lambda: live(fleet), 30)
        assert fleet.statuses()["omega-0"].pid == broken.pid, "the worker went on"


def _not_live(fleet: FleetUnderTest) -> WorkerStatus | None:
    status = fleet.statuses()["omega-0"]
    return None if status.stream_state is StreamState.LIVE else status


def next_epoch(viewer: ClientConnection) -> int:
    """Reads on to the next epoch; every state on the way is a sentence."""
    while True:
        message = viewer.recv(30)
        if isinstance(message, bytes):
            continue
        match json.loads(message)["type"]:
            case "epoch":
                return EpochMessage.model_validate_json(message).epoch
            case "state":
                assert StateMessage.model_validate_json(message).reason


def test_an_encoder_that_hangs_in_mid_stream_is_left_behind(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    settings = {"NVENC_MAX_SESSIONS": 1, "STREAM_ALLOW_CPU_FALLBACK": 1}
    with fleet_on(driver, tmp_path, 1, **settings) as fleet:
        until("it is live", lambda: live(fleet), 60)
        driver.set(encode_hangs_after=0)
        until("software took over", lambda: _backend(fleet) == SOFTWARE, 40)
        steps = fleet.statuses()["omega-0"].step
        until("it plays on", lambda: fleet.statuses()["omega-0"].step > steps + 10, 10)
        assert "has not answered for 10 s: the driver hangs" in logs(fleet, 1)
        # The frame that hung comes to its end, so that the fleet can stop in order.
        driver.set(encode_hangs_after=-1)


def _backend(fleet: FleetUnderTest) -> str:
    status = fleet.statuses()["omega-0"]
    return status.stream_backend if status.stream_state is StreamState.LIVE else ""


def test_an_encoder_that_crashes_workers_is_left_alone_and_training_goes_on(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    with fleet_on(driver, tmp_path, 1, NVENC_MAX_SESSIONS=2) as fleet:
        until("it is live", lambda: live(fleet), 60)
        driver.set(encode_crashes_after=0)
        status = until("it trains without", lambda: _in_error(fleet), 90)
        assert "av:h264_nvenc is not used until" in (status.stream_error or "")
        assert "Segmentation fault in" in (status.stream_error or "")
        assert head(fleet, 0) == 503
        until("it plays", lambda: fleet.statuses()["omega-0"].step > status.step + 50, 20)
        assert fleet.statuses()["omega-0"].pid == status.pid


def test_an_open_that_hangs_ends_in_training_without_a_picture(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    with fleet_on(driver, tmp_path, 1, NVENC_MAX_SESSIONS=2) as fleet:
        until("it is live", lambda: live(fleet), 60)
        pid = fleet.statuses()["omega-0"].pid
        driver.set(open_hangs=1, encode_fails_after=0)
        status = until("it trains without", lambda: _in_error(fleet), 90)
        assert status.pid != pid
        assert "it has not answered for" in (status.stream_error or "")
        assert "while it was opened" in (status.stream_error or "")
        until("it plays", lambda: fleet.statuses()["omega-0"].step > status.step + 50, 20)


def _in_error(fleet: FleetUnderTest) -> WorkerStatus | None:
    status = fleet.statuses().get("omega-0")
    if status is None or status.stream_state is not StreamState.ERROR:
        return None
    return status if "is not used until" in (status.stream_error or "") else None
