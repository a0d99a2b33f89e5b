"""What should be so of a running fleet: five checks over what was seen. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from metabonk.messages import StreamState, WorkerStatus, no_picture

LEAST_FPS_SHARE = 0.9
MOST_DROPPED_SHARE = 0.02
KEYFRAME_MARGIN_S = 0.5
"""A keyframe comes with the first frame after its time, and frames come with jitter."""

MOST_BLURRED_S = 120.0
"""A worker that goes live is drawn larger from its next episode on; one in play lasts a minute."""


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """A lease, and what its holder wrote.

    Attributes:
        worker: its name.
        backend: that it is for.
        open: the encoder has been opened; true only where it was so before and after the driver was
            asked.
        held_s: seconds since it was given.
    """

    worker: str
    backend: str
    open: bool = True
    held_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class SessionsSeen:
    """One pool of encoder sessions.

    Attributes:
        pool: its name.
        limit: how many there may be.
        leases: those that are held.
        foreign: sessions of other programs.
        counted: by the driver, everybody's; None for encoders that it doesn't count.
    """

    pool: str
    limit: int
    leases: tuple[LeaseSeen, ...]
    foreign: int
    counted: int | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """Some seconds of a stream, decoded.

    Attributes:
        seconds: of media time.
        frames: decoded.
        damaged: pictures that the decoder found damaged.
        longest_gap_s: from a keyframe to the next, or to the end.
        width: of the pictures, pixels.
        height: of the pictures, pixels.
        dropped: frames that the worker lost meanwhile.
    """

    seconds: float
    frames: int
    damaged: int
    longest_gap_s: float
    width: int
    height: int
    dropped: int


@dataclass(frozen=True, slots=True)
class StreamSeen:
    """What a worker answers for its stream.

    Attributes:
        code: HTTP status; None where nothing answered.
        state: what the worker does, by its own word before and after; None where that changed, or
            where it gave none.
        error: machine-readable, of a refusal.
        retry_after: whether a refusal says when to ask again.
        decoded: what was in it; None where nothing could be decoded.
        failure: why nothing could be.
        status: what the worker itself said when it had been watched.
    """

    code: int | None
    state: StreamState | None = None
    error: str | None = None
    retry_after: bool = False
    decoded: Decoded | None = None
    failure: str | None = None
    status: WorkerStatus | None = None


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
        keyframe_interval_s: longest distance of keyframes.
        workers: status objects by instance id; None where no fleet answers.
        steady: live by their own word before and after the sessions were looked at.
        sessions: pools of this host.
        streams: by instance id.
        page: the web page.
    """

    expected: tuple[str, ...]
    keyframe_interval_s: float
    workers: Mapping[str, WorkerStatus] | None
    steady: frozenset[str]
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
    leases = {lease.worker: lease for pool in seen.sessions for lease in pool.leases}
    for pool in seen.sessions:
        used = len(pool.leases) + pool.foreign
        others = f", {pool.foreign} of them by other programs" if pool.foreign else ""
        check.facts.append(f"{pool.pool}: {used} of {pool.limit} sessions used{others}")
        if used > pool.limit:
            check.fail(
                f"{pool.pool} has {used} sessions open and a limit of {pool.limit}",
                "close the other program that encodes, or raise METABONK_NVENC_MAX_SESSIONS",
            )
        opened = sum(lease.open for lease in pool.leases)
        if pool.counted is not None and pool.counted < opened:
            check.fail(
                f"{opened} leases of {pool.pool} have an encoder open, and the driver counts "
                f"{pool.counted} sessions",
                "the driver was reset, or can't be asked: see 'nvidia-smi' and 'dmesg', and "
                "start the fleet again",
            )
    for name in sorted(seen.steady):
        lease, backend = leases.get(name), _statuses(seen)[name].stream_backend
        if lease is None:
            check.fail(
                f"{name} is live and holds no lease",
                "check that METABONK_NVENC_SLOT_DIR is the same here as where the fleet runs",
            )
        elif lease.backend != backend:
            check.fail(
                f"{name} streams through {backend}, and its lease is for {lease.backend}",
                "report this: it is a fault of MetaBonk",
            )


def _streaming(seen: Seen, check: Check) -> None:
    missing = [name for name in seen.expected if name not in _statuses(seen)]
    for name in missing:
        check.fail(f"{name} is not there", f"look into logs/{name}.log; it is started again")
    live = 0
    for name, status in _statuses(seen).items():
        stream = seen.streams[name]
        live += stream.code == 200
        does = stream.state or "changing"
        check.facts.append(f"{name}: {does}, HTTP {stream.code or 'no answer'}")
        if stream.code is None:
            check.fail(f"{name} does not answer on its port", f"look into logs/{name}.log")
        elif stream.state is StreamState.ERROR:
            problem = no_picture(status)
            check.fail(problem.message, problem.action)
        elif stream.code not in (200, 503):
            check.fail(f"{name} answers {stream.code}", f"look into logs/{name}.log")
        elif stream.state is StreamState.LIVE and stream.code != 200:
            check.fail(f"{name} is live and answers {stream.code}", f"look into logs/{name}.log")
        elif stream.state is StreamState.STANDBY and stream.code == 200:
            check.fail(f"{name} is in standby and streams", f"look into logs/{name}.log")
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
        status = stream.status or _statuses(seen)[name]
        fps = decoded.frames / decoded.seconds if decoded.seconds else 0.0
        target = status.stream_target_fps or 0
        check.facts.append(
            f"{name}: {fps:.1f} of {target} frames/s, {decoded.dropped} dropped, "
            f"{decoded.damaged} damaged"
        )
        if status.stream_quality:
            check.facts.append(f"{name} by plan: {status.stream_quality}")
        if fps < LEAST_FPS_SHARE * target:
            check.fail(
                f"{name} shows {fps:.1f} frames a second of {target}",
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
        if decoded.longest_gap_s > longest:
            check.fail(
                f"{name} went {decoded.longest_gap_s:.1f} s without a keyframe, and one is due "
                f"every {seen.keyframe_interval_s:.1f} s",
                "viewers who lost a picture wait that long; look into "
                f"logs/{name}.log, or try another encoder (docs/encoding.md)",
            )


def _resolution(seen: Seen, check: Check) -> None:
    held = {lease.worker: lease.held_s for pool in seen.sessions for lease in pool.leases}
    for name, stream in seen.streams.items():
        decoded = stream.decoded
        if decoded is None:
            continue
        status = stream.status or _statuses(seen)[name]
        source = f"{status.pixel_src_width}×{status.pixel_src_height}"
        wanted = f"{status.spectator_width}×{status.spectator_height}"
        came = f"{decoded.width}×{decoded.height}"
        check.facts.append(f"{name}: drawn at {source}, streamed at {came}")
        if came != wanted:
            check.fail(f"{name} streams {came} and says {wanted}", f"look into logs/{name}.log")
        blurred = (
            status.pixel_src_width * status.pixel_src_height * 4 < decoded.width * decoded.height
        )
        if blurred and held.get(name, 0.0) > MOST_BLURRED_S:
            check.fail(
                f"{name} is drawn at {source} and shown at {came}: it looks blurred",
                f"lower stream.width and stream.height, or look into logs/{name}.log",
            )
        elif blurred:
            check.facts.append(f"{name} has just gone live: its next episode is drawn larger")


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
