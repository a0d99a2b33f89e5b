"""Messages about workers: what they are, how they do, and what they are to do."""

from base64 import b64decode, b64encode
from enum import StrEnum
from typing import Annotated, NamedTuple, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from metabonk.messages.base import (
    MAX_EPISODE_STEPS,
    Count,
    CountOrNone,
    LongText,
    Message,
    Number,
    NumberOrNone,
    Problem,
    ShortText,
    Text,
    Turns,
)

MAX_EPISODE_LOG_BYTES = 1 << 20
"""Size of an encoded episode log (``policy.episode_log``); that of a long Atari game."""


EpisodeLogBytes = Annotated[
    bytes,
    Field(max_length=MAX_EPISODE_LOG_BYTES),
    BeforeValidator(lambda log: b64decode(log, validate=True) if isinstance(log, str) else log),
    PlainSerializer(lambda log: b64encode(log).decode(), return_type=str, when_used="json"),
]
"""An encoded episode log (``policy.episode_log``); base64 in JSON."""

INSTANCE_PREFIX = "omega-"


def instance_id(worker_index: int) -> str:
    """Return the name of a worker."""
    return f"{INSTANCE_PREFIX}{worker_index}"


def is_fleet_name(name: str) -> bool:
    """Tell whether this is the name of a worker of a fleet."""
    return name.startswith(INSTANCE_PREFIX) and name.removeprefix(INSTANCE_PREFIX).isdecimal()


class Counters(NamedTuple):
    """Steps taken and episodes finished by one worker in a run, over all of its processes."""

    step: int = 0
    episode: int = 0

    def __str__(self) -> str:
        return f"{self.step},{self.episode}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the counters that ``str`` wrote.

        Raises:
            ValueError: the text is anything else.
        """
        step, episode = text.split(",")
        return cls(int(step), int(episode))


class StreamState(StrEnum):
    """State of a worker's stream."""

    LIVE = "live"
    STARTING = "starting"
    STANDBY = "standby"
    ERROR = "error"


class Mode(StrEnum):
    """Purpose of a fleet."""

    TRAIN = "train"
    PLAY = "play"


class WorkerKind(StrEnum):
    """Kinds of workers."""

    FLEET = "fleet"
    GUEST = "guest"
    """Shows an environment of another trainer (``metabonk.broadcast``)."""


class Drawn(StrEnum):
    """Process that draws a guest's environment."""

    SHADOW = "shadow"
    INLINE = "inline"
    """The trainer itself."""


class GuestStatus(Message):
    """Current state of a guest: the trainer, and the episode that is shown."""

    trainer_pid: Count
    trainer_steps_per_s: NumberOrNone = Field(
        None,
        description="of this environment in the trainer, over the last seconds that were recorded; "
        "0 while it takes no step, as when it learns; null while nothing is recorded",
    )
    episode_step: CountOrNone = Field(
        None, description="steps so far of the episode that is shown; null if it began unseen"
    )
    episode_return: NumberOrNone = Field(
        None, description="return so far of the episode that is shown; null if it began unseen"
    )
    drawn: Drawn | None = Field(None, description="where it is drawn; null while nobody looks")
    drawing_cost: NumberOrNone = Field(
        None, description="share of the trainer's time that drawing there takes, measured"
    )
    note: LongText = Field(None, description="why it is drawn inline or not at all, in a sentence")


class WorkerStatus(Message):
    """Current state of a worker. Rates are measured over the last few seconds."""

    instance_id: ShortText = Field(description="omega-<worker_index>; of a guest, its ring's name")
    worker_index: Count = Field(description="of a guest, the lowest that no other worker has")
    kind: WorkerKind = WorkerKind.FLEET
    node: ShortText | None = Field(None, description="its machine, where there are several")
    pid: Count
    game: ShortText
    mode: Mode
    gpu_index: CountOrNone = Field(None, description="as in nvidia-smi; null without a GPU")
    uptime_s: Number

    stream_url: ShortText = Field(description="absolute URL of the worker's own /stream.mp4")
    stream_enabled: bool
    stream_state: StreamState
    stream_backend: ShortText = Field("", description="engine:source:encoder; empty in standby")
    stream_error: LongText = Field(None, description="why there is no video now, in a sentence")
    streamer_last_error: LongText = Field(None, description="last failure, kept after recovery")
    stream_active_clients: Count = Field(0, description="connected viewers, waiting ones included")
    stream_dedicated_clients: Count = Field(0, description="those who opened this very worker")
    stream_fps: Number = Field(0.0, description="access units encoded per second")
    stream_bitrate: Count = Field(0, description="bit/s, measured")
    stream_target_fps: CountOrNone = Field(None, description="pace of the stream; null without one")
    stream_quality: LongText = Field(
        None,
        description="the reduced quality and its cause, in a sentence; null at full quality",
    )
    spectator_width: Count = Field(description="pixels of the stream; without one, of the snapshot")
    spectator_height: Count

    frames_ok: Count = Field(0, description="frames encoded since the worker started")
    frames_fps: Number = Field(0.0, description="frames drawn or repeated for viewers per second")
    frames_dropped: Count = Field(0, description="drawn but not encoded: the queue was full")
    pixel_src_width: Count
    pixel_src_height: Count
    pixel_obs_width: Count
    pixel_obs_height: Count

    nvenc_used: CountOrNone = Field(None, description="sessions on its GPU; null without NVML")
    nvenc_limit: CountOrNone = None
    nvenc_note: LongText = Field(
        None, description="why the two may be off, as while a process keeps the pool's lock"
    )
    nvenc_slot: CountOrNone = Field(None, description="slot that this worker holds")

    step: Count = Field(0, description="policy steps since the worker first started in this run")
    steps_per_s: Number = 0.0
    episode: Count = Field(0, description="finished episodes")
    episode_return: NumberOrNone = Field(None, description="return of the last finished episode")
    policy_version: CountOrNone = Field(
        0, description="version of the weights in use; null for a guest"
    )
    turns: Turns = Field(default_factory=dict)
    guest: GuestStatus | None = Field(None, description="null but for a guest")

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        is_guest = self.kind is WorkerKind.GUEST
        if is_guest != (self.guest is not None):
            raise ValueError(f"{self.instance_id} is of kind {self.kind}: only guests have a guest")
        if is_guest == is_fleet_name(self.instance_id):
            raise ValueError(f"a worker of kind {self.kind} can't be named {self.instance_id}")
        if not is_guest and self.instance_id != instance_id(self.worker_index):
            expected = instance_id(self.worker_index)
            raise ValueError(f"worker {self.worker_index} must be named {expected}")
        return self


class EpisodeResult(Message):
    """One finished episode."""

    worker_index: Count
    episode: Count
    total_reward: Number = Field(description="unshaped return")
    length: int = Field(ge=0, le=MAX_EPISODE_STEPS, description="policy steps")
    step: Count = Field(description="the worker's step count at its end")
    policy_version: Count
    ended_at: Number = Field(description="Unix time, seconds")


class EpisodeReport(EpisodeResult):
    """An episode as its worker reports it."""

    log: EpisodeLogBytes | None = Field(
        None, description="what repeats it; null if it was not recorded, or is too long"
    )


class Heartbeat(Message):
    """Report of a worker to the orchestrator, twice a second."""

    status: WorkerStatus
    episodes: list[EpisodeReport] = Field(
        default_factory=list,
        max_length=10_000,
        description="finished since the last acknowledged heartbeat",
    )

    @model_validator(mode="after")
    def _check_sender(self) -> Self:
        name, index = self.status.instance_id, self.status.worker_index
        if self.status.kind is WorkerKind.GUEST and self.episodes:
            raise ValueError(f"{name} is a guest, whose episodes belong to no run")
        if any(episode.worker_index != index for episode in self.episodes):
            raise ValueError(f"{name} may report its own episodes only")
        return self


class DesiredState(StrEnum):
    """State that the director wants a worker to be in."""

    LIVE = "live"
    STANDBY = "standby"


class HeartbeatReply(Message):
    """Desired state of the worker; level-triggered, so it is repeated in every reply."""

    desired: DesiredState
    reason: Text = Field(description="the reason, in a sentence")


def no_video(status: WorkerStatus) -> Problem:
    """Return the problem of a worker that should be live and can't be."""
    return Problem(
        message=f"{status.instance_id} has no video: {status.stream_error}",
        action="retried automatically; docs/sessions.md explains each reason",
    )
