"""The five checks: a sound fleet passes, and each thing that is broken fails in its own place."""

from dataclasses import replace
from typing import Any

import pytest

from metabonk.messages import StreamState
from metabonk.validation import CHECKS, Seen, validate
from metabonk.validation.checks import Decoded, LeaseSeen, PageSeen, SessionsSeen, StreamSeen
from tests.support.statuses import status

DECODED = Decoded(3.0, 90, 0, 2.0, 1280, 720, 0)
LIVE = StreamSeen(200, StreamState.LIVE, decoded=DECODED)
STANDBY = StreamSeen(503, StreamState.STANDBY, "no_encoder_session", retry_after=True)
LEASE = LeaseSeen("omega-0", "av:h264_nvenc")
SOUND = Seen(
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
    sessions=[
        SessionsSeen("nvenc-gpu0", 2, (LEASE,), 0, counted=1),
        SessionsSeen("cpu", 1, (), 0),
    ],
    streams={"omega-0": LIVE, "omega-1": STANDBY},
    page=PageSeen(200, (), "MetaBonk omega-0"),
)


def failed(seen: Seen) -> dict[str, str]:
    """Check → what it says is wrong and what to do."""
    return {
        check.name: " ".join(f"{what} → {do}" for what, do in check.failures)
        for check in validate(seen)
        if not check.passed
    }


def test_a_sound_fleet_passes_all_five():
    assert failed(SOUND) == {}
    assert [check.name for check in validate(SOUND)] == list(CHECKS)
    assert all(check.facts for check in validate(SOUND))


def with_stream(name: str, **changed: Any) -> Seen:
    return replace(SOUND, streams={**SOUND.streams, name: replace(SOUND.streams[name], **changed)})


def with_decoded(**changed: Any) -> Seen:
    return with_stream("omega-0", decoded=replace(DECODED, **changed))


def with_worker(index: int, **changed: Any) -> Seen:
    assert SOUND.workers is not None
    name = f"omega-{index}"
    worker = SOUND.workers[name].model_copy(update=changed)
    return replace(SOUND, workers={**SOUND.workers, name: worker})


def with_sessions(**changed: Any) -> Seen:
    return replace(SOUND, sessions=[replace(SOUND.sessions[0], **changed), SOUND.sessions[1]])


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (with_sessions(foreign=2), "session management", "3 sessions open and a limit of 2"),
        (with_sessions(counted=0), "session management", "the driver counts 0"),
        (with_sessions(leases=(), counted=0), "session management", "omega-0 is live and holds"),
        (
            with_sessions(leases=(replace(LEASE, backend="av:libx264"),)),
            "session management",
            "its lease is for av:libx264",
        ),
        (replace(SOUND, expected=("omega-0", "omega-1", "omega-2")), "worker streaming", "omega-2"),
        (with_stream("omega-0", code=503), "worker streaming", "is live and answers 503"),
        (with_stream("omega-1", code=200), "worker streaming", "is in standby and streams"),
        (with_stream("omega-1", code=None), "worker streaming", "does not answer"),
        (with_stream("omega-1", code=500), "worker streaming", "answers 500"),
        (with_stream("omega-1", error=None), "worker streaming", "without a reason"),
        (with_stream("omega-1", retry_after=False), "worker streaming", "without a reason"),
        (with_stream("omega-1", state=StreamState.ERROR), "worker streaming", "has no picture"),
        (with_stream("omega-0", decoded=None, failure="no"), "FPS and quality", "can't be decoded"),
        (with_decoded(frames=70), "FPS and quality", "23.3 frames a second of 30"),
        (with_decoded(dropped=9), "FPS and quality", "dropped 9 frames"),
        (with_decoded(damaged=1), "FPS and quality", "damaged"),
        (with_decoded(longest_gap_s=2.8), "FPS and quality", "2.8 s without a keyframe"),
        (with_decoded(width=640, height=360), "resolution", "streams 640×360 and says 1280×720"),
        (with_worker(0, pixel_src_width=256, pixel_src_height=144), "resolution", "blurred"),
        (replace(SOUND, page=PageSeen(None)), "page", "answers nothing"),
        (replace(SOUND, page=PageSeen(401)), "page", "asks for a token"),
        (replace(SOUND, page=PageSeen(200, ("/assets/a.js",))), "page", "/assets/a.js"),
        (replace(SOUND, page=PageSeen(200, (), "  \n")), "page", "stays empty"),
    ],
)
def test_what_is_broken_fails_its_check_with_a_fix(broken: Seen, check: str, words: str):
    failures = failed(broken)
    assert words in failures[check]
    assert "→ " in failures[check]


def test_a_planned_step_down_is_said_and_is_no_failure():
    assert SOUND.workers is not None
    quality = "640×360 at 15 frames/s instead of 1280×720 at 30: this machine can't keep up"
    shown = {"spectator_width": 640, "spectator_height": 360, "stream_target_fps": 15}
    stepped = SOUND.workers["omega-0"].model_copy(update={"stream_quality": quality, **shown})
    decoded = replace(DECODED, frames=45, width=640, height=360)
    seen = with_stream("omega-0", decoded=decoded, status=stepped)
    assert failed(seen) == {}
    facts = {check.name: check.facts for check in validate(seen)}
    assert facts["FPS and quality"] == [
        "omega-0: 15.0 of 15 frames/s, 0 dropped, 0 damaged",
        f"omega-0 by plan: {quality}",
    ]
    slower = with_stream("omega-0", decoded=replace(decoded, frames=30), status=stepped)
    assert "10.0 frames a second of 15" in failed(slower)["FPS and quality"]


def test_a_worker_whose_turn_comes_or_ends_meanwhile_is_no_fault():
    changing = with_stream("omega-0", code=503, state=None, error="no_encoder_session")
    changing.streams["omega-0"] = replace(changing.streams["omega-0"], retry_after=True)
    assert "omega-0" not in failed(changing).get("worker streaming", "")
    gone = replace(with_sessions(leases=(), counted=0), steady=frozenset())
    assert "session management" not in failed(gone)


def test_a_lease_whose_encoder_is_being_opened_is_not_counted_yet():
    opening = with_sessions(leases=(replace(LEASE, open=False),), counted=0)
    assert failed(opening) == {}


def test_a_worker_that_has_just_gone_live_may_still_be_drawn_small():
    small = with_worker(0, pixel_src_width=256, pixel_src_height=144)
    fresh = replace(small.sessions[0], leases=(replace(LEASE, held_s=20.0),))
    assert "resolution" not in failed(replace(small, sessions=[fresh, small.sessions[1]]))


def test_a_browser_is_not_needed():
    assert failed(replace(SOUND, page=PageSeen(200, (), None))) == {}


def test_without_any_stream_there_is_nothing_to_watch():
    everyone = replace(SOUND, streams={"omega-0": STANDBY, "omega-1": STANDBY})
    assert "no worker streams" in failed(everyone)["worker streaming"]


def test_without_a_fleet_every_check_says_how_to_start_one():
    failures = failed(replace(SOUND, workers=None, streams={}, page=PageSeen(None)))
    assert set(failures) == set(CHECKS)
    assert all("./start" in words for words in failures.values())
