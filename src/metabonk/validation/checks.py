"""What should be so of a running fleet: five checks over what was seen. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from metabonk.messages import StreamState, WorkerStatus
from metabonk.problems import without_picture

LEAST_FPS_SHARE = 0.9
MOST_DROPPED_SHARE = 0.02
KEYFRAME_MARGIN_S = 0.5
"""A keyframe comes with the first frame after its time, and frames come with jitter."""


@dataclass(frozen=True, slots=True)
class SessionsSeen:
    """One pool of encoder sessions.

    Attributes:
        pool: its name.
        limit: how many there may be.
        holders: workers that hold a lease, by instance id.
        foreign: sessions of other programs.
        counted: by the driver; None for software.
    """

    pool: str
    limit: int
    holders: tuple[str, ...]
    foreign: int
    counted: int | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """Some seconds of a stream, decoded.

    Attributes:
        seconds: of media time.
        frames: decoded.
        damaged: pictures that the decoder found damaged.
        longest_gap_s: between two keyframes; None where there was one or none.
        width: of the pictures, pixels.
        height: of the pictures, pixels.
        dropped: frames that the worker lost meanwhile.
    """

    seconds: float
    frames: int
    damaged: int
    longest_gap_s: float | None
    width: int
    height: int
    dropped: int


@dataclass(frozen=True, slots=True)
class StreamSeen:
    """What a worker answers for its stream.

    Attributes:
        code: HTTP status; None where nothing answered.
        error: machine-readable, of a refusal.
        retry_after: whether a refusal says when to ask again.
        decoded: what was in it; None where nothing could be decoded.
        failure: why nothing could be.
    """

    code: int | None
    error: str | None = None
    retry_after: bool = False
    decoded: Decoded | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class PageSeen:
    """The web page.

    Attributes:
        code: HTTP status; None where nothing answered.
        broken_assets: files that it needs and that can't be had.
        shown: text that a browser showed once the script had run; None without a browser.
    """

    code: int | None
    broken_assets: tuple[str, ...] = ()
    shown: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was seen.

    Attributes:
        expected: names of the workers that there should be.
        fps: nominal frames per second of the streams.
        keyframe_interval_s: longest distance of keyframes.
        workers: status objects by instance id; None where no fleet answers.
        sessions: pools of this host.
        streams: by instance id.
        page: the web page.
    """

    expected: tuple[str, ...]
    fps: int
    keyframe_interval_s: float
    workers: Mapping[str, WorkerStatus] | None
    sessions: Sequence[SessionsSeen]
    streams: Mapping[str, StreamSeen]
    page: PageSeen


@dataclass(slots=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: of the check.
        facts: what was found, a sentence each.
        failures: what is wrong, and what to do.
    """

    name: str
    facts: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.failures

    def fail(self, what: str, do: str) -> None:
        """Notes something that is wrong."""
        self.failures.append((what, do))


START = "start it with './start --mode train --workers 2', or look into logs/orchestrator.log"


def validate(seen: Seen) -> list[Check]:
    """All checks."""
    outcomes = []
    for name, examine in CHECKS.items():
        check = Check(name)
        if seen.workers is None and examine is not _page:
            check.fail("no fleet answers here", START)
        else:
            examine(seen, check)
        outcomes.append(check)
    return outcomes


def _sessions(seen: Seen, check: Check) -> None:
    holders = [name for pool in seen.sessions for name in pool.holders]
    for pool in seen.sessions:
        used = len(pool.holders) + pool.foreign
        check.facts.append(f"{pool.pool}: {used} of {pool.limit} sessions used")
        if used > pool.limit:
            check.fail(
                f"{pool.pool} has {used} sessions open and a limit of {pool.limit}",
                "close the other program that encodes, or raise METABONK_NVENC_MAX_SESSIONS",
            )
        if pool.counted is not None and pool.counted > used:
            check.fail(
                f"the driver counts {pool.counted} sessions on {pool.pool}, and {used} are known",
                "run 'python scripts/cleanup_nvenc_sessions.py' to see who holds them",
            )
    for name, status in _statuses(seen).items():
        if status.stream_state is StreamState.LIVE and name not in holders:
            check.fail(
                f"{name} is live and holds no lease",
                "check that METABONK_NVENC_SLOT_DIR is the same here as where the fleet runs",
            )


def _streaming(seen: Seen, check: Check) -> None:
    missing = [name for name in seen.expected if name not in _statuses(seen)]
    for name in missing:
        check.fail(f"{name} is not there", f"look into logs/{name}.log; it is started again")
    live = 0
    for name, status in _statuses(seen).items():
        stream = seen.streams[name]
        live += stream.code == 200
        check.facts.append(f"{name}: {status.stream_state}, HTTP {stream.code or 'no answer'}")
        if stream.code is None:
            check.fail(f"{name} does not answer on its port", f"look into logs/{name}.log")
        elif problem := without_picture(status):
            check.fail(problem.what, problem.do)
        elif status.stream_state is StreamState.LIVE and stream.code != 200:
            check.fail(f"{name} is live and answers {stream.code}", f"look into logs/{name}.log")
        elif stream.code not in (200, 503):
            check.fail(f"{name} answers {stream.code}", f"look into logs/{name}.log")
        elif stream.code == 503 and not (stream.error and stream.retry_after):
            check.fail(f"{name} refuses without a reason", "report this: it is a fault of MetaBonk")
    if not live and not missing:
        check.fail(
            "no worker streams", "run 'python scripts/nvenc_status.py'; it says why for each"
        )


def _quality(seen: Seen, check: Check) -> None:
    for name, stream in seen.streams.items():
        if stream.code != 200:
            continue
        decoded = stream.decoded
        if decoded is None:
            check.fail(
                f"the stream of {name} can't be decoded: {stream.failure}",
                f"look into logs/{name}.log",
            )
            continue
        fps = decoded.frames / decoded.seconds if decoded.seconds else 0.0
        check.facts.append(
            f"{name}: {fps:.1f} of {seen.fps} frames/s, {decoded.dropped} dropped, "
            f"{decoded.damaged} damaged"
        )
        if fps < LEAST_FPS_SHARE * seen.fps:
            check.fail(
                f"{name} shows {fps:.1f} frames a second of {seen.fps}",
                "lower stream.fps or stream.width and stream.height, or run fewer workers",
            )
        if decoded.dropped > MOST_DROPPED_SHARE * decoded.frames:
            check.fail(
                f"{name} dropped {decoded.dropped} frames while {decoded.frames} were shown",
                "the encoder can't keep up: lower stream.width and stream.height",
            )
        if decoded.damaged:
            check.fail(
                f"{decoded.damaged} pictures of {name} are damaged",
                "try another encoder or driver version; logs name the one in use",
            )
        longest = seen.keyframe_interval_s + KEYFRAME_MARGIN_S
        if decoded.longest_gap_s is not None and decoded.longest_gap_s > longest:
            check.fail(
                f"keyframes of {name} come {decoded.longest_gap_s:.1f} s apart",
                "viewers wait that long for a picture; set stream.keyframe_interval_s",
            )


def _resolution(seen: Seen, check: Check) -> None:
    for name, status in _statuses(seen).items():
        decoded = seen.streams[name].decoded
        if decoded is None:
            continue
        source = f"{status.pixel_src_width}×{status.pixel_src_height}"
        wanted = f"{status.spectator_width}×{status.spectator_height}"
        came = f"{decoded.width}×{decoded.height}"
        check.facts.append(f"{name}: drawn at {source}, streamed at {came}")
        if came != wanted:
            check.fail(f"{name} streams {came} and says {wanted}", f"look into logs/{name}.log")
        if status.pixel_src_width * status.pixel_src_height * 4 < decoded.width * decoded.height:
            check.fail(
                f"{name} is drawn at {source} and shown at {came}: it looks blurred",
                f"it is drawn larger from its next episode on; if it stays so, see logs/{name}.log",
            )


def _page(seen: Seen, check: Check) -> None:
    page = seen.page
    if page.code == 401:
        check.fail(
            "the page asks for a token", "set METABONK_ACCESS_TOKEN to the one it was started with"
        )
        return
    if page.code != 200:
        check.fail(f"the page answers {page.code or 'nothing'}", START)
        return
    check.facts.append("the page and its files load")
    for asset in page.broken_assets:
        check.fail(f"{asset} can't be loaded", "build the page again: './start' does it")
    if page.shown is None:
        check.facts.append("no browser here, so its script was not run")
    elif not page.shown.strip():
        check.fail(
            "the page stays empty in a browser", "its console says why; './start' rebuilds it"
        )
    else:
        check.facts.append("its script runs in a browser")


CHECKS: dict[str, Callable[[Seen, Check], None]] = {
    "session management": _sessions,
    "worker streaming": _streaming,
    "FPS and quality": _quality,
    "resolution": _resolution,
    "page": _page,
}


def _statuses(seen: Seen) -> Mapping[str, WorkerStatus]:
    return seen.workers or {}
