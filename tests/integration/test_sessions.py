"""Encoder sessions of a game-less fleet on a simulated NVIDIA driver.

``python -m pytest tests/integration/test_sessions.py --long -k round`` has desktop games instead.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from websockets.sync.client import ClientConnection, connect

from metabonk.messages.streams import EpochMessage, StateMessage
from metabonk.messages.workers import StreamState, WorkerStatus
from tests.support import http
from tests.support.fleet import FleetUnderTest, run_fleet, run_gameless_fleet
from tests.support.machine_speed import slowness
from tests.support.nvsim.driver import INCOMPATIBLE_CLIENT_KEY, UNSUPPORTED_DEVICE, SimulatedDriver
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(400)

NVENC, SOFTWARE = "av:h264_nvenc", "av:libx264"

SMALL = {
    "METABONK_STREAM_WIDTH": "256",
    "METABONK_STREAM_HEIGHT": "144",
    "METABONK_STREAM_FPS": "15",
    "METABONK_STREAM_ENGINE": "av",
}
"""A cheap stream, as the simulated encoder runs on the CPU; GStreamer has its own tests."""

ROTATE_S = 5


@contextmanager
def fleet_on(
    driver: SimulatedDriver, folder: Path, workers: int, game: str = "", **variables: object
) -> Iterator[FleetUnderTest]:
    """Run a fleet on this driver; at the end it is stopped by Ctrl-C.

    Args:
        driver: simulated.
        folder: of the fleet.
        workers: number of them.
        game: its id; empty: the fleet is game-less.
        variables: settings, without ``METABONK_``.
    """
    environment = environment_on(driver, **variables)
    arguments = ("--workers", str(workers))
    if game:
        running = run_fleet(folder, *arguments, "--game", game, environment=environment)
    else:
        running = run_gameless_fleet(folder, *arguments, environment=environment)
    with running as fleet, stopped_cleanly(fleet, driver):
        yield fleet


def environment_on(driver: SimulatedDriver, **variables: object) -> dict[str, str]:
    """Return the environment of a fleet on this driver."""
    settings = {f"METABONK_{name}": str(value) for name, value in variables.items()}
    return {**SMALL, **driver.environment, **settings}


@contextmanager
def stopped_cleanly(fleet: FleetUnderTest, driver: SimulatedDriver) -> Iterator[None]:
    """Stop the fleet after the block, and check that every session is closed."""
    yield
    assert fleet.stop() < 10 * slowness()
    # A worker that hangs has to be killed; the kernel then closes its session a moment later.
    until("no session is left open", lambda: driver.open_now() == 0)


def names(statuses: list[WorkerStatus]) -> set[str]:
    return {status.instance_id for status in statuses}


def live(fleet: FleetUnderTest) -> set[str]:
    return names(fleet.in_state(StreamState.LIVE))


def logs(fleet: FleetUnderTest, workers: int) -> str:
    return "".join(fleet.log(name) for name in [f"omega-{i}" for i in range(workers)])


def head(fleet: FleetUnderTest, index: int) -> int:
    return http.head(f"{fleet.worker(index)}/stream.mp4").status_code


def answers(fleet: FleetUnderTest, workers: int) -> list[int]:
    return sorted(head(fleet, index) for index in range(workers))


def played_on(fleet: FleetUnderTest, since: dict[str, int]) -> bool:
    after = fleet.statuses()
    return all(after[name].step > steps + 20 for name, steps in since.items())


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_two_sessions_go_round_among_all_workers(workers: int, tmp_path: Path, long: bool):
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    limits = {"NVENC_MAX_SESSIONS": 2, "FEATURED_ROTATE_S": ROTATE_S}
    game = "desktop:lbreakout2" if long else ""
    with fleet_on(driver, tmp_path, workers, game, **limits) as fleet:
        until("two are live", lambda: len(live(fleet)) == 2, 60)
        expected = [200, 200, *[503] * (workers - 2)]
        until(
            "two workers stream and the others answer 503",
            lambda: answers(fleet, workers) == expected,
            60,
        )
        before = {name: status.step for name, status in fleet.statuses().items()}
        shown: list[frozenset[str]] = []

        def rotated() -> bool:
            now = frozenset(live(fleet))
            if len(now) == 2 and now not in shown[-1:]:
                shown.append(now)
            had_a_turn = frozenset().union(*shown)
            return workers == 2 or (len(shown) > 3 and len(had_a_turn) == workers)

        began = time.monotonic()
        until("every worker has a turn within three rotations", rotated, 120)
        if workers == 2:
            time.sleep(max(0.0, began + ROTATE_S * 1.5 - time.monotonic()))
            assert live(fleet) == {"omega-0", "omega-1"}, "nothing rotates while all are live"
        until("all play", lambda: played_on(fleet, before), 60)
        if workers > 2:
            assert all(s.nvenc_limit == 2 for s in fleet.statuses().values())
    output = logs(fleet, workers)
    assert driver.events("refused") == []
    assert driver.most_open() == 2
    assert "OpenEncodeSessionEx failed" not in output
    assert output.count("Acquired NVENC session") == output.count("Released NVENC session")
    assert ("Session limit reached" in output) == (workers > 2)


@pytest.mark.parametrize("fallback", [0, 1])
def test_a_session_is_yielded_to_another_program_and_taken_back(fallback: int, tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=3)
    settings = {"NVENC_MAX_SESSIONS": 2, "STREAM_ALLOW_CPU_FALLBACK": fallback}
    with fleet_on(driver, tmp_path, 2, **settings, FEATURED_ROTATE_S=600) as fleet:

        def backends() -> list[str]:
            return sorted(status.stream_backend for status in fleet.in_state(StreamState.LIVE))

        until("both are live", lambda: backends() == [NVENC, NVENC], 60)
        with driver.external_sessions(1):
            yielded = [NVENC, SOFTWARE] if fallback else [NVENC]
            until("the fleet yields", lambda: backends() == yielded, 60)
            until("one session is closed", lambda: driver.open_now() == 2)
            status = fleet.command("nvenc", "status", "--workers", "2").stdout
            assert "other program: pid 1, 1920×1080 at 60 fps" in status
        until("both are back on the GPU", lambda: backends() == [NVENC, NVENC], 60)
    assert driver.events("refused") == []


def test_a_stream_is_larger_on_the_gpu_than_in_software(tmp_path: Path):
    """Default sizes at a low rate, since the simulated encoder needs a core."""
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    settings = {"NVENC_MAX_SESSIONS": 1, "STREAM_ALLOW_CPU_FALLBACK": 1, "STREAM_ADAPTIVE": 0}
    unset = {"STREAM_WIDTH": "", "STREAM_HEIGHT": "", "STREAM_FPS": 5}
    with fleet_on(driver, tmp_path, 1, **settings, **unset) as fleet:

        def shown() -> tuple[str, int, int] | None:
            """Return backend and size once the stream and the status agree."""
            for status in fleet.in_state(StreamState.LIVE):
                size = status.spectator_width, status.spectator_height
                if decoded_size(status.stream_url) == size:
                    return status.stream_backend, *size
            return None

        until("it is encoded on the GPU", lambda: shown() == (NVENC, 1920, 1080), 90)
        until("it is drawn large", lambda: _drawn(fleet) == (1280, 720), 60)
        with driver.external_sessions(1):
            until("it is encoded in software", lambda: shown() == (SOFTWARE, 1280, 720), 60)
        until("it is encoded on the GPU again", lambda: shown() == (NVENC, 1920, 1080), 60)
        assert fleet.statuses()["omega-0"].stream_target_fps == 5
    assert driver.events("refused") == []


def decoded_size(address: str) -> tuple[int, int] | None:
    """Return the size of a stream's first frame; None where it ends before, with its encoder."""
    try:
        with av.open(address, timeout=20) as container:
            frame = next(container.decode(video=0))
            return frame.width, frame.height
    except (av.error.FFmpegError, StopIteration):
        return None


def _drawn(fleet: FleetUnderTest) -> tuple[int, int]:
    status = fleet.statuses()["omega-0"]
    return status.pixel_src_width, status.pixel_src_height


def test_own_sessions_are_recognized_in_a_container_with_other_pids(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2, host_pids=100_000)
    with fleet_on(driver, tmp_path, 2, NVENC_MAX_SESSIONS=2) as fleet:
        until("both are live", lambda: len(live(fleet)) == 2, 60)
        status = fleet.command("nvenc", "status", "--workers", "2").stdout
    assert "nvenc-gpu0 2 of 2" in status
    assert "other program" not in status
    assert driver.events("refused") == []


def test_a_limit_below_the_known_one_is_learned_from_a_refusal(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=1, refusal=INCOMPATIBLE_CLIENT_KEY)
    with fleet_on(driver, tmp_path, 2, FEATURED_ROTATE_S=ROTATE_S) as fleet:
        until("one is live", lambda: len(live(fleet)) == 1, 60)
        until("the limit is learned", lambda: _limits(fleet) == {1}, 60)
        refused = len(driver.events("refused"))
        first = live(fleet)
        until("it is the other worker's turn", lambda: live(fleet) not in (first, set()), 60)
        status = fleet.command("nvenc", "status", "--workers", "2").stdout
    assert "the driver refused to open more than 1 at once" in status
    assert len(driver.events("refused")) == refused <= 2, "none after the limit was learned"


def _limits(fleet: FleetUnderTest) -> set[int | None]:
    return {status.nvenc_limit for status in fleet.statuses().values()}


def test_software_substitutes_for_a_gpu_without_an_encoder(tmp_path: Path):
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


def test_viewers_stay_while_a_failed_encoder_is_reopened(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    with fleet_on(driver, tmp_path, 1, NVENC_MAX_SESSIONS=2) as fleet:
        until("it is live", lambda: live(fleet), 60)
        with connect(f"{fleet.worker(0).replace('http', 'ws')}/stream") as viewer:
            assert next_epoch(viewer) == 1
            driver.set(encode_fails_after=0)
            broken = until("it has failed", lambda: _failed(fleet), 60)
            driver.set(encode_fails_after=-1)
            assert next_epoch(viewer) == 2
            assert isinstance(viewer.recv(30), bytes)
        until("it is live again", lambda: live(fleet), 60)
        assert fleet.statuses()["omega-0"].pid == broken.pid, "the worker survived"


def _failed(fleet: FleetUnderTest) -> WorkerStatus | None:
    status = fleet.statuses()["omega-0"]
    has_failed = "configured to fail" in (status.streamer_last_error or "")
    return status if has_failed and status.stream_state is not StreamState.LIVE else None


def next_epoch(viewer: ClientConnection) -> int:
    """Return the number of the next epoch; every state before it gives a reason."""
    while True:
        message = viewer.recv(30)
        if isinstance(message, bytes):
            continue
        match json.loads(message)["type"]:
            case "epoch":
                return EpochMessage.model_validate_json(message).epoch
            case "state":
                assert StateMessage.model_validate_json(message).reason


def test_an_encoder_that_hangs_is_replaced_by_software(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    settings = {"NVENC_MAX_SESSIONS": 1, "STREAM_ALLOW_CPU_FALLBACK": 1}
    with fleet_on(driver, tmp_path, 1, **settings) as fleet:
        until("it is live", lambda: live(fleet), 60)
        driver.set(encode_hangs_after=0)
        until("software has taken over", lambda: _backend(fleet) == SOFTWARE, 90)
        steps = fleet.statuses()["omega-0"].step
        until("it continues to play", lambda: fleet.statuses()["omega-0"].step > steps + 10)
        assert "has not answered for 10 s: the driver hangs" in logs(fleet, 1)
        # Let the frame that hung finish, so that the worker can exit by itself.
        driver.set(encode_hangs_after=-1)


def _backend(fleet: FleetUnderTest) -> str:
    status = fleet.statuses()["omega-0"]
    return status.stream_backend if status.stream_state is StreamState.LIVE else ""


def test_training_continues_without_an_encoder_that_crashes_workers(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    with fleet_on(driver, tmp_path, 1, NVENC_MAX_SESSIONS=2) as fleet:
        until("it is live", lambda: live(fleet), 60)
        driver.set(encode_crashes_after=0)
        status = until("it runs without a stream", lambda: _in_error(fleet), 90)
        assert "av:h264_nvenc is not used until" in (status.stream_error or "")
        assert "Segmentation fault in" in (status.stream_error or "")
        assert head(fleet, 0) == 503
        until("it plays", lambda: fleet.statuses()["omega-0"].step > status.step + 50, 60)
        assert fleet.statuses()["omega-0"].pid == status.pid


def test_training_continues_without_an_encoder_that_hangs_while_opening(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", cap=2)
    with fleet_on(driver, tmp_path, 1, NVENC_MAX_SESSIONS=2) as fleet:
        until("it is live", lambda: live(fleet), 60)
        pid = fleet.statuses()["omega-0"].pid
        driver.set(open_hangs=1, encode_fails_after=0)
        status = until("it runs without a stream", lambda: _in_error(fleet), 90)
        assert status.pid != pid
        assert "it has made no progress for" in (status.stream_error or "")
        assert "while opening the encoder" in (status.stream_error or "")
        until("it plays", lambda: fleet.statuses()["omega-0"].step > status.step + 50, 60)


def _in_error(fleet: FleetUnderTest) -> WorkerStatus | None:
    status = fleet.statuses().get("omega-0")
    if status is None or status.stream_state is not StreamState.ERROR:
        return None
    return status if "is not used until" in (status.stream_error or "") else None
