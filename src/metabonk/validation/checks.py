"""The five checks over what was observed of a fleet. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

from metabonk.messages.base import Problem
from metabonk.messages.workers import StreamState, WorkerKind, no_video
from metabonk.settings.commands import command, repair
from metabonk.validation.observations import FleetObservation

MIN_FPS_SHARE = 0.9
MAX_DROPPED_SHARE = 0.02
KEYFRAME_MARGIN_S = 0.5
"""A keyframe is the first frame after its due time, and frames arrive with jitter."""

MAX_UPSCALED_S = 120.0
"""A worker that goes live is drawn larger from its next episode on, which may take a minute."""

START = (
    f"start it with '{command('start', '--mode train --workers 2')}', or see logs/orchestrator.log"
)
REPORT = "please report this: it is a bug in MetaBonk"


@dataclass(slots=True)
class Check:
    """Outcome of a check.

    Attributes:
        name: of the check.
        facts: findings, one sentence each.
        problems: what is wrong, and how to fix it.
    """

    name: str
    facts: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True without problems."""
        return not self.problems

    def fail(self, message: str, action: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(message=message, action=action))


def validate(fleet: FleetObservation) -> list[Check]:
    """Make all checks."""
    outcomes = []
    for name, examine in CHECKS.items():
        check = Check(name)
        if fleet.workers is None and examine is not _check_page:
            check.fail("no fleet responds here", START)
        else:
            examine(fleet, check)
        outcomes.append(check)
    return outcomes


def _check_sessions(fleet: FleetObservation, check: Check) -> None:
    for pool in fleet.pools:
        used = len(pool.leases) + pool.external
        others = f", {pool.external} of them by other programs" if pool.external else ""
        check.facts.append(f"{pool.pool}: {used} of {pool.limit} sessions in use{others}")
        if used > pool.limit:
            check.fail(
                f"{pool.pool} has {used} open sessions and a limit of {pool.limit}",
                "close the other program that encodes, or raise METABONK_NVENC_MAX_SESSIONS",
            )
        opened = sum(lease.open for lease in pool.leases)
        if pool.counted is not None and pool.counted < opened:
            check.fail(
                f"{opened} leases of {pool.pool} have an open encoder, but the driver counts "
                f"{pool.counted} sessions",
                "the driver was reset or doesn't respond: see 'nvidia-smi' and 'dmesg', then "
                "restart the fleet",
            )
    leases = {lease.worker: lease for pool in fleet.pools for lease in pool.leases}
    for name in sorted(fleet.steady):
        lease, backend = leases.get(name), fleet.statuses[name].stream_backend
        if (node := fleet.statuses[name].node) is not None:
            # Its lease is a file of that machine, as are the sessions that it counts among.
            check.facts.append(f"{name}: leased on {node}")
        elif lease is None:
            check.fail(
                f"{name} is live without a lease",
                "set METABONK_NVENC_SLOT_DIR to the same folder here as for the fleet",
            )
        elif lease.backend != backend:
            check.fail(
                f"{name} encodes with {backend}, but its lease is for {lease.backend}", REPORT
            )


def _check_streaming(fleet: FleetObservation, check: Check) -> None:
    missing = [name for name in fleet.expected if name not in fleet.statuses]
    for name in missing:
        check.fail(f"{name} is missing", f"it is restarted automatically; see {_log(name)}")
    live = 0
    for name, status in fleet.statuses.items():
        stream = fleet.streams[name]
        live += stream.code == 200
        state = stream.state or "changing"
        check.facts.append(f"{name}: {state}, HTTP {stream.code or 'no response'}")
        if stream.code is None:
            check.fail(f"{name} does not respond on its port", f"see {_log(name)}")
        elif stream.state is StreamState.ERROR:
            check.problems.append(no_video(status))
        elif stream.code not in (200, 503):
            check.fail(f"{name} responds with HTTP {stream.code}", f"see {_log(name)}")
        elif stream.state is StreamState.LIVE and stream.code != 200:
            check.fail(f"{name} is live, but responds with HTTP {stream.code}", f"see {_log(name)}")
        elif stream.state is StreamState.STANDBY and stream.code == 200:
            check.fail(f"{name} is in standby, but streams", f"see {_log(name)}")
        elif stream.code == 503 and not (stream.error and stream.retry_after):
            check.fail(f"{name} refuses its stream without a reason", REPORT)
    if not fleet.statuses and not missing:
        check.facts.append("nothing is broadcast now")
    elif not live and not missing:
        check.fail("no worker streams", f"run '{command('nvenc status')}' to see why for each")


def _check_quality(fleet: FleetObservation, check: Check) -> None:
    for name, stream in fleet.streams.items():
        if stream.code != 200:
            continue
        video = stream.video
        if video is None:
            check.fail(
                f"the stream of {name} can't be decoded: {stream.failure}", f"see {_log(name)}"
            )
            continue
        status = stream.status or fleet.statuses[name]
        fps = video.frames / video.seconds if video.seconds else 0.0
        target = status.stream_target_fps or 0
        check.facts.append(
            f"{name}: {fps:.1f} of {target} frames/s, {video.dropped} dropped, "
            f"{video.corrupt} corrupt"
        )
        if status.stream_quality:
            check.facts.append(f"{name} at reduced quality: {status.stream_quality}")
        if fps < MIN_FPS_SHARE * target:
            check.fail(
                f"{name} streams {fps:.1f} of {target} frames/s",
                "lower stream.fps, or stream.width and stream.height, or run fewer workers",
            )
        if video.dropped > MAX_DROPPED_SHARE * video.frames:
            check.fail(
                f"{name} dropped {video.dropped} frames while {video.frames} were shown",
                "the encoder can't keep up: lower stream.width and stream.height",
            )
        if video.corrupt:
            check.fail(
                f"{video.corrupt} frames of {name} are corrupt",
                f"try another encoder or driver version; {_log(name)} names the one in use",
            )
        if video.longest_gap_s > fleet.keyframe_interval_s + KEYFRAME_MARGIN_S:
            check.fail(
                f"{name} sent no keyframe for {video.longest_gap_s:.1f} s; one is due "
                f"every {fleet.keyframe_interval_s:.1f} s",
                "viewers who lost a frame wait that long for video; "
                f"see {_log(name)}, or try another encoder (docs/encoding.md)",
            )


def _check_resolution(fleet: FleetObservation, check: Check) -> None:
    held_s = {lease.worker: lease.held_s for pool in fleet.pools for lease in pool.leases}
    for name, stream in fleet.streams.items():
        video = stream.video
        if video is None:
            continue
        status = stream.status or fleet.statuses[name]
        drawn = f"{status.pixel_src_width}×{status.pixel_src_height}"
        expected = f"{status.spectator_width}×{status.spectator_height}"
        actual = f"{video.width}×{video.height}"
        check.facts.append(f"{name}: drawn at {drawn}, streamed at {actual}")
        if actual != expected:
            check.fail(f"{name} streams {actual}, but reports {expected}", f"see {_log(name)}")
        upscaled = status.pixel_src_width * status.pixel_src_height * 4 < video.width * video.height
        if status.kind is WorkerKind.GUEST:
            continue  # Drawn as large as its environment draws itself.
        if upscaled and held_s.get(name, 0.0) > MAX_UPSCALED_S:
            check.fail(
                f"{name} is drawn at {drawn} and streamed at {actual}: it looks blurred",
                f"lower stream.width and stream.height, or see {_log(name)}",
            )
        elif upscaled:
            check.facts.append(f"{name} has just gone live: its next episode is drawn larger")


def _check_page(fleet: FleetObservation, check: Check) -> None:
    page = fleet.page
    if page.code == 401:
        check.fail("the page requires a token", "set METABONK_ACCESS_TOKEN to that of the fleet")
        return
    if page.code is None:
        check.fail("the page does not respond", START)
        return
    if page.code != 200:
        check.fail(f"the page responds with HTTP {page.code}", START)
        return
    check.facts.append("the page and its files load")
    for asset in page.broken_assets:
        check.fail(f"{asset} can't be loaded", f"run '{repair()}' again to rebuild the page")
    if page.text is None:
        check.facts.append("its script was not run: no browser on this machine")
    elif not page.text.strip():
        check.fail(
            "the page stays empty in a browser",
            f"the browser's console says why; '{repair()}' rebuilds the page",
        )
    else:
        check.facts.append("its script runs in a browser")


CHECKS: dict[str, Callable[[FleetObservation, Check], None]] = {
    "session management": _check_sessions,
    "worker streaming": _check_streaming,
    "FPS and quality": _check_quality,
    "resolution": _check_resolution,
    "page": _check_page,
}


def _log(name: str) -> str:
    return f"logs/{name}.log"
