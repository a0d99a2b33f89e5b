"""Observations of a running fleet, which the checks are made on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metabonk.messages.workers import StreamState, WorkerStatus


@dataclass(frozen=True, slots=True)
class LeaseObservation:
    """A lease, as its holder describes it.

    Attributes:
        worker: instance id.
        backend: encoder that it is for.
        open: the encoder was open both before and after the driver was asked.
        held_s: age, seconds.
    """

    worker: str
    backend: str
    open: bool = True
    held_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class PoolObservation:
    """One pool of encoder sessions.

    Attributes:
        pool: its name.
        limit: of sessions.
        leases: held now.
        external: sessions of other programs.
        counted: all sessions by the driver's count; None for encoders that it doesn't count.
    """

    pool: str
    limit: int
    leases: tuple[LeaseObservation, ...]
    external: int
    counted: int | None = None


@dataclass(frozen=True, slots=True)
class DecodedVideo:
    """A few seconds of a stream, decoded.

    Attributes:
        seconds: of media time.
        frames: decoded.
        corrupt: frames that the decoder flagged as corrupt.
        longest_gap_s: longest time between keyframes, or from the last one to the end.
        width: pixels.
        height: pixels.
        dropped: frames that the worker dropped meanwhile.
    """

    seconds: float
    frames: int
    corrupt: int
    longest_gap_s: float
    width: int
    height: int
    dropped: int


@dataclass(frozen=True, slots=True)
class StreamObservation:
    """Response of a worker to a request for its stream.

    Attributes:
        code: HTTP status; None without a response.
        state: the worker's stream state before and after; None if it changed or is unknown.
        error: machine-readable reason of a refusal.
        retry_after: a refusal has a ``Retry-After`` header.
        video: the decoded stream; None if it could not be decoded.
        failure: why it could not be decoded.
        status: of the worker, after the stream was watched.
    """

    code: int | None
    state: StreamState | None = None
    error: str | None = None
    retry_after: bool = False
    video: DecodedVideo | None = None
    failure: str | None = None
    status: WorkerStatus | None = None


@dataclass(frozen=True, slots=True)
class PageObservation:
    """The web page.

    Attributes:
        code: HTTP status; None without a response.
        broken_assets: files that the page needs and that can't be loaded.
        text: shown by a browser after the script ran; None without a browser.
    """

    code: int | None
    broken_assets: tuple[str, ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True)
class FleetObservation:
    """A running fleet.

    Attributes:
        expected: instance ids that should be there.
        keyframe_interval_s: longest time between keyframes, by the settings.
        workers: status by instance id; None if no fleet responds.
        steady: instance ids that were live both before and after the sessions were counted.
        pools: of this host.
        streams: by instance id.
        page: the web page.
    """

    expected: tuple[str, ...]
    keyframe_interval_s: float
    workers: Mapping[str, WorkerStatus] | None
    steady: frozenset[str]
    pools: Sequence[PoolObservation]
    streams: Mapping[str, StreamObservation]
    page: PageObservation

    @property
    def statuses(self) -> Mapping[str, WorkerStatus]:
        """Status by instance id; empty if no fleet responds."""
        return self.workers or {}
