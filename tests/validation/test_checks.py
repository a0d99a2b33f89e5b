"""The five checks: a healthy fleet passes, and each fault fails its own check."""

from dataclasses import replace
from typing import Any

import pytest

from metabonk.messages.workers import StreamState
from metabonk.validation import CHECKS, FleetObservation, validate
from metabonk.validation.observations import (
    DecodedVideo,
    LeaseObservation,
    PageObservation,
    PoolObservation,
    StreamObservation,
)
from tests.support.statuses import guest_status, status

VIDEO = DecodedVideo(3.0, 90, 0, 2.0, 1280, 720, 0)
LIVE = StreamObservation(200, StreamState.LIVE, video=VIDEO)
STANDBY = StreamObservation(503, StreamState.STANDBY, "no_encoder_session", retry_after=True)
LEASE = LeaseObservation("omega-0", "av:h264_nvenc")
HEALTHY = FleetObservation(
    expected=("omega-0", "omega-1"),
    keyframe_interval_s=2.0,
    workers={
        "omega-0": status(
            0,
            stream_state=StreamState.LIVE,
            stream_target_fps=30,
            stream_backend="av:h264_nvenc",
            pixel_src_width=1280,
            pixel_src_height=720,
        ),
        "omega-1": status(1),
    },
    steady=frozenset({"omega-0"}),
    pools=[
        PoolObservation("nvenc-gpu0", 2, (LEASE,), 0, counted=1),
        PoolObservation("cpu", 1, (), 0),
    ],
    streams={"omega-0": LIVE, "omega-1": STANDBY},
    page=PageObservation(200, (), "MetaBonk omega-0"),
)


def failures_of(fleet: FleetObservation) -> dict[str, str]:
    """Return check name → its problems and their fixes."""
    return {
        check.name: " ".join(f"{each.message} → {each.action}" for each in check.problems)
        for check in validate(fleet)
        if not check.passed
    }


def test_a_hub_passes_with_a_small_environment_and_without_any():
    hub = replace(HEALTHY, expected=())
    small = guest_status(
        0,
        "omega-like",
        stream_state=StreamState.LIVE,
        stream_target_fps=30,
        stream_backend="av:libx264",
        pixel_src_width=64,
        pixel_src_height=64,
    )
    lease = LeaseObservation("omega-like", "av:libx264")
    shows_one = replace(
        hub,
        workers={"omega-like": small},
        steady=frozenset({"omega-like"}),
        pools=[PoolObservation("cpu", 1, (lease,), 0)],
        streams={"omega-like": LIVE},
    )
    assert failures_of(shows_one) == {}
    empty = replace(hub, workers={}, steady=frozenset(), pools=[], streams={})
    assert failures_of(empty) == {}
    facts = [fact for check in validate(empty) for fact in check.facts]
    assert "nothing is broadcast now" in facts


def test_a_healthy_fleet_passes_all_five():
    assert failures_of(HEALTHY) == {}
    assert [check.name for check in validate(HEALTHY)] == list(CHECKS)
    assert all(check.facts for check in validate(HEALTHY))


def with_stream(name: str, **changes: Any) -> FleetObservation:
    return replace(
        HEALTHY, streams={**HEALTHY.streams, name: replace(HEALTHY.streams[name], **changes)}
    )


def with_video(**changes: Any) -> FleetObservation:
    return with_stream("omega-0", video=replace(VIDEO, **changes))


def with_worker(index: int, **changes: Any) -> FleetObservation:
    assert HEALTHY.workers is not None
    name = f"omega-{index}"
    worker = HEALTHY.workers[name].model_copy(update=changes)
    return replace(HEALTHY, workers={**HEALTHY.workers, name: worker})


def with_sessions(**changes: Any) -> FleetObservation:
    return replace(HEALTHY, pools=[replace(HEALTHY.pools[0], **changes), HEALTHY.pools[1]])


@pytest.mark.parametrize(
    ("broken", "check", "message"),
    [
        (with_sessions(external=2), "session management", "3 open sessions and a limit of 2"),
        (with_sessions(counted=0), "session management", "the driver counts 0"),
        (
            with_sessions(leases=(), counted=0),
            "session management",
            "omega-0 is live without a lease",
        ),
        (
            with_sessions(leases=(replace(LEASE, backend="av:libx264"),)),
            "session management",
            "its lease is for av:libx264",
        ),
        (
            replace(HEALTHY, expected=("omega-0", "omega-1", "omega-2")),
            "worker streaming",
            "omega-2",
        ),
        (
            with_stream("omega-0", code=503),
            "worker streaming",
            "is live, but responds with HTTP 503",
        ),
        (with_stream("omega-1", code=200), "worker streaming", "is in standby, but streams"),
        (with_stream("omega-1", code=None), "worker streaming", "does not respond"),
        (with_stream("omega-1", code=500), "worker streaming", "responds with HTTP 500"),
        (with_stream("omega-1", error=None), "worker streaming", "without a reason"),
        (with_stream("omega-1", retry_after=False), "worker streaming", "without a reason"),
        (with_stream("omega-1", state=StreamState.ERROR), "worker streaming", "has no video"),
        (with_stream("omega-0", video=None, failure="no"), "FPS and quality", "can't be decoded"),
        (with_video(frames=70), "FPS and quality", "23.3 of 30 frames/s"),
        (with_video(dropped=9), "FPS and quality", "dropped 9 frames"),
        (with_video(corrupt=1), "FPS and quality", "corrupt"),
        (with_video(longest_gap_s=2.8), "FPS and quality", "no keyframe for 2.8 s"),
        (with_video(width=640, height=360), "resolution", "streams 640×360, but reports 1280×720"),
        (with_worker(0, pixel_src_width=256, pixel_src_height=144), "resolution", "blurred"),
        (replace(HEALTHY, page=PageObservation(None)), "page", "does not respond"),
        (replace(HEALTHY, page=PageObservation(401)), "page", "requires a token"),
        (replace(HEALTHY, page=PageObservation(200, ("/assets/a.js",))), "page", "/assets/a.js"),
        (replace(HEALTHY, page=PageObservation(200, (), "  \n")), "page", "stays empty"),
    ],
)
def test_each_fault_fails_its_check_with_a_fix(broken: FleetObservation, check: str, message: str):
    failures = failures_of(broken)
    assert message in failures[check]
    assert "→ " in failures[check]


def test_a_reduced_quality_is_reported_but_passes():
    assert HEALTHY.workers is not None
    quality = "640×360 at 15 frames/s instead of 1280×720 at 30: this machine can't keep up"
    shown = {"spectator_width": 640, "spectator_height": 360, "stream_target_fps": 15}
    reduced = HEALTHY.workers["omega-0"].model_copy(update={"stream_quality": quality, **shown})
    video = replace(VIDEO, frames=45, width=640, height=360)
    fleet = with_stream("omega-0", video=video, status=reduced)
    assert failures_of(fleet) == {}
    facts = {check.name: check.facts for check in validate(fleet)}
    assert facts["FPS and quality"] == [
        "omega-0: 15.0 of 15 frames/s, 0 dropped, 0 corrupt",
        f"omega-0 at reduced quality: {quality}",
    ]
    slower = with_stream("omega-0", video=replace(video, frames=30), status=reduced)
    assert "10.0 of 15 frames/s" in failures_of(slower)["FPS and quality"]


def test_a_worker_that_changes_state_during_the_inspection_is_not_a_failure():
    changing = with_stream("omega-0", code=503, state=None, error="no_encoder_session")
    changing.streams["omega-0"] = replace(changing.streams["omega-0"], retry_after=True)
    assert "omega-0" not in failures_of(changing).get("worker streaming", "")
    released = replace(with_sessions(leases=(), counted=0), steady=frozenset())
    assert "session management" not in failures_of(released)


def test_a_lease_whose_encoder_is_still_opening_is_not_counted():
    opening = with_sessions(leases=(replace(LEASE, open=False),), counted=0)
    assert failures_of(opening) == {}


def test_a_worker_that_just_went_live_may_still_render_small_frames():
    small = with_worker(0, pixel_src_width=256, pixel_src_height=144)
    fresh = replace(small.pools[0], leases=(replace(LEASE, held_s=20.0),))
    assert "resolution" not in failures_of(replace(small, pools=[fresh, small.pools[1]]))


def test_a_browser_is_not_required():
    assert failures_of(replace(HEALTHY, page=PageObservation(200, (), None))) == {}


def test_a_fleet_without_any_stream_fails():
    all_standby = replace(HEALTHY, streams={"omega-0": STANDBY, "omega-1": STANDBY})
    assert "no worker streams" in failures_of(all_standby)["worker streaming"]


def test_without_a_fleet_every_check_explains_how_to_start_one():
    failures = failures_of(replace(HEALTHY, workers=None, streams={}, page=PageObservation(None)))
    assert set(failures) == set(CHECKS)
    assert all("./start" in message for message in failures.values())


def test_a_worker_of_a_node_has_its_lease_there():
    elsewhere = replace(with_worker(0, node="b"), pools=HEALTHY.pools[1:])
    assert failures_of(elsewhere) == {}
    assert "omega-0: leased on b" in validate(elsewhere)[0].facts
