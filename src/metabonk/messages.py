"""What processes say to each other over HTTP, as pydantic models.

The OpenAPI documents, and from them the page's TypeScript types, come from these models.
Weights and rollouts are not here: they travel as safetensors (``policy/weights.py``,
``learner/rollouts.py``).
"""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LARGEST_COUNT = 2**53 - 1
"""Exact in a page's numbers (ECMA-262, Number.MAX_SAFE_INTEGER); SQLite takes more."""

LARGEST_NUMBER = 1e30
"""Either sign; sums of them are finite, and so is what is made of them. Not a number is neither."""

LONGEST_EPISODE = 2**31 - 1
"""So that no number of them adds up to what SQLite doesn't take."""

MAX_SHORT_TEXT = 300
MAX_LONG_TEXT = 4_000
"""Characters; of errors, which other programs write."""

Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
CountOrNone = Annotated[int | None, Field(ge=0, le=LARGEST_COUNT)]
Number = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
NumberOrNone = Annotated[float | None, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
ShortText = Annotated[str, Field(max_length=MAX_SHORT_TEXT)]
LongText = Annotated[str | None, Field(max_length=MAX_LONG_TEXT)]


INSTANCE_PREFIX = "omega-"


def instance_id(worker_index: int) -> str:
    """Return the name of a worker."""
    return f"{INSTANCE_PREFIX}{worker_index}"


def worker_index(instance_id: str) -> int:
    """Return the index of the worker with this name."""
    return int(instance_id.removeprefix(INSTANCE_PREFIX))


class Message(BaseModel):
    """Base of every message: unknown fields are refused, so that a typo is seen at once."""

    # An answer always carries the fields that have a default: its schema says so.
    model_config = ConfigDict(
        extra="forbid", ser_json_inf_nan="null", json_schema_serialization_defaults_required=True
    )


class StreamState(StrEnum):
    """What a worker's stream is doing."""

    LIVE = "live"
    STARTING = "starting"
    STANDBY = "standby"
    ERROR = "error"


class Mode(StrEnum):
    """What a fleet is for."""

    TRAIN = "train"
    PLAY = "play"


class WorkerStatus(Message):
    """One worker, as it is now. Rates are counted over the last few seconds, never configured."""

    instance_id: ShortText = Field(description="omega-<worker_index>")
    worker_index: Count
    pid: Count
    game: ShortText
    mode: Mode
    gpu_index: CountOrNone = Field(None, description="as nvidia-smi counts; null without a GPU")
    uptime_s: Number

    stream_url: ShortText = Field(description="absolute address of the worker's own /stream.mp4")
    stream_enabled: bool
    stream_state: StreamState
    stream_backend: ShortText = Field("", description="engine:source:encoder; empty in standby")
    stream_error: LongText = Field(None, description="why there is no picture now, in a sentence")
    streamer_last_error: LongText = Field(None, description="the last failure, kept after recovery")
    stream_active_clients: Count = Field(0, description="viewers connected, waiting ones included")
    stream_dedicated_clients: Count = Field(
        0, description="those who opened this worker in particular, not the broadcast"
    )
    stream_fps: Number = Field(0.0, description="access units encoded per second")
    stream_bitrate: Count = Field(0, description="bit/s, measured")
    stream_target_fps: CountOrNone = Field(
        None, description="frames per second that the stream is paced at; null without one"
    )
    stream_quality: LongText = Field(
        None,
        description="what the stream is instead of what was wanted, and why; null where it is that",
    )
    spectator_width: Count = Field(description="of the stream; without one, of the snapshot")
    spectator_height: Count

    frames_ok: Count = Field(0, description="frames encoded since the worker started")
    frames_fps: Number = Field(0.0, description="frames drawn for spectators per second")
    frames_dropped: Count = Field(0, description="drawn, but never encoded: the queue was full")
    pixel_src_width: Count
    pixel_src_height: Count
    pixel_obs_width: Count
    pixel_obs_height: Count

    nvenc_used: CountOrNone = Field(
        None, description="sessions open on this worker's GPU; null without NVML"
    )
    nvenc_limit: CountOrNone = None
    nvenc_slot: CountOrNone = Field(None, description="the slot this worker holds")

    step: Count = Field(0, description="policy decisions made since the worker first started")
    steps_per_s: Number = 0.0
    episode: Count = Field(0, description="episodes finished")
    episode_return: NumberOrNone = Field(None, description="return of the last finished episode")
    policy_version: Count = Field(0, description="version of the weights that act now")


class Episode(Message):
    """One finished episode."""

    worker_index: Count
    episode: Count
    total_reward: Number = Field(description="unshaped return")
    length: int = Field(ge=0, le=LONGEST_EPISODE, description="policy decisions")
    step: Count = Field(description="the worker's step count at its end")
    policy_version: Count
    ended_at: Number = Field(description="Unix time, seconds")


class Heartbeat(Message):
    """A worker tells the orchestrator how it is; sent about once a second."""

    status: WorkerStatus
    episodes: list[Episode] = Field(
        default_factory=list,
        max_length=10_000,
        description="finished since the last heartbeat that was answered",
    )

    @model_validator(mode="after")
    def _speaks_for_itself(self) -> Self:
        index = self.status.worker_index
        if self.status.instance_id != f"omega-{index}":
            raise ValueError(f"worker {index} is omega-{index}, and nobody else")
        if any(episode.worker_index != index for episode in self.episodes):
            raise ValueError(f"omega-{index} tells of its own episodes alone")
        return self


class DesiredState(StrEnum):
    """What the director wants of a worker."""

    LIVE = "live"
    STANDBY = "standby"


class CounterOffset(Message):
    """What the processes that were this worker before have counted in the run."""

    step: int = Field(0, ge=0)
    episode: int = Field(0, ge=0)


class HeartbeatReply(Message):
    """The director's wish. Level-triggered: it is repeated with every answer."""

    desired: DesiredState
    reason: str = Field(description="why, in a sentence for people")
    counted: CounterOffset = Field(default_factory=CounterOffset, description="goes on from there")


class LearnerStatus(Message):
    """The learner, as it is now."""

    pid: int
    uptime_s: float
    policy_version: int
    steps_trained: int = Field(description="policy decisions learned from")
    steps_per_s: float
    steps_dropped: int = Field(
        description="arrived too late or beyond the queue, and were not learned from"
    )
    updates: int
    policy_lag: float = Field(description="mean age of the last batch, in versions")
    losses: dict[str, float] = Field(default_factory=dict)
    save_error: str | None = Field(
        None, description="why the last checkpoint was not written; null once one is again"
    )


class CurvePoint(Message):
    """A few neighbouring episodes of the whole fleet, summed up for a plot."""

    fleet_step: int = Field(description="policy decisions of all workers at the last of them")
    ended_at: float = Field(description="Unix time of the last of them, seconds")
    mean_return: float
    episodes: int = Field(description="how many episodes this point stands for")


class Problem(Message):
    """Something an operator should know, and what to do about it."""

    message: str = Field(description="what happened")
    action: str = Field(description="what to do about it")


class Fleet(Message):
    """Everything the page's first screen shows."""

    run: str
    game: str
    mode: Mode
    workers: dict[str, WorkerStatus]
    learner: LearnerStatus | None
    problems: list[Problem]
    go2rtc: str | None = Field(
        None, description="address of go2rtc's page on this machine, while it runs"
    )


class RunSummary(Message):
    """A run, from its first start until now."""

    run: str
    game: str
    started_at: float = Field(description="Unix time, seconds")
    updated_at: float = Field(description="Unix time of its last episode, seconds")
    episodes: int
    steps: int = Field(description="policy decisions of all finished episodes")
    best_return: float | None = Field(description="of one episode")
    recent_return: float | None = Field(description="mean of the last 100 episodes")
    current: bool = Field(description="it is going on")


class Checkpoint(Message):
    """A file that can be played or resumed."""

    name: str
    kind: Literal["newest", "older", "best"]
    policy_version: int
    steps: int = Field(description="policy decisions learned from")
    mean_return: float | None = Field(description="of the last 100 episodes before it")
    saved_at: float = Field(description="Unix time, seconds")
    bytes: int


class LogTail(Message):
    """The end of a log."""

    lines: list[str]


class SlotHolder(Message):
    """Who has an encoder session."""

    slot: int | None = Field(description="null for another program's")
    instance_id: str | None = Field(description="null for another program's")
    pid: int | None
    gpu_index: int | None = Field(None, description="that it encodes on; null in software")
    ours: bool


class PoolStatus(Message):
    """The sessions of one scarce encoder."""

    pool: Literal["nvenc", "cpu"]
    gpu_index: int | None
    gpu_name: str | None
    gpu_indices: list[int] = Field(
        default_factory=list, description="every GPU whose sessions these are: some share a limit"
    )
    used: int = Field(description="other programs' sessions included")
    limit: int
    holders: list[SlotHolder]


class Featured(Message):
    """Who is shown, and who comes next."""

    live: list[str] = Field(description="instance ids, the one shown longest first")
    rotate_s: float
    next: str | None = Field(description="who gets the next place; null where nobody waits")
    next_in_s: float | None = Field(description="null where every place is being watched")


class EventKind(StrEnum):
    """What can happen in a fleet."""

    REGISTERED = "registered"
    LIVE = "live"
    STANDBY = "standby"
    DIED = "died"
    RESTARTED = "restarted"
    BEST_RETURN = "best_return"


class FleetEvent(Message):
    """Server-sent event of ``/api/events``; its id is that of the event stream."""

    id: int
    at: float = Field(description="Unix time, seconds")
    kind: EventKind
    instance_id: str = Field(description="of the worker, or 'learner'")
    message: str


class StateMessage(Message):
    """WebSocket ``/stream``, text: what the stream does; sent on joining and on every change."""

    type: Literal["state"] = "state"
    state: StreamState
    reason: str = Field(description="a sentence for the viewer")


class EpochMessage(Message):
    """WebSocket ``/stream``, text: the next binary message is a new init segment.

    Fragments (one ``moof`` and ``mdat`` each, binary) follow until the next epoch.
    """

    type: Literal["epoch"] = "epoch"
    epoch: int = Field(description="grows by one with every encoder that is opened")
    mime: str = Field(description="for MediaSource.addSourceBuffer, with the codecs parameter")
    width: int
    height: int


class PolicyMessage(Message):
    """WebSocket ``/stream``, text: what the policy can do; sent once, on joining."""

    type: Literal["policy"] = "policy"
    actions: list[str] = Field(description="names of the options that probabilities are given for")


class Thought(Message):
    """What the policy thought when it decided."""

    action: int | None = Field(description="index of the chosen option; null where it is no index")
    probabilities: list[float] = Field(description="of every option; empty for continuous actions")
    value: float = Field(description="the discounted return it expects, in the game's rewards")
    reward: float = Field(description="unshaped, of the decision before")
    episode_return: float = Field(description="unshaped, so far")
    episode: int = Field(description="number of the episode in this worker, from 1")
    step: int = Field(description="decisions in this episode so far")
    decided_at: float = Field(description="by the worker's clock: Unix time, seconds")


class ThoughtMessage(Thought):
    """WebSocket ``/stream``, text: comes before the fragment that it belongs to."""

    type: Literal["thought"] = "thought"
    epoch: int
    time: float = Field(description="of the first picture after the decision, media seconds")


class SaliencyMessage(Message):
    """WebSocket ``/stream?saliency=true``, text: regions that the chosen action depends on."""

    type: Literal["saliency"] = "saliency"
    epoch: int
    time: float = Field(description="of the picture it is about, media seconds")
    columns: int
    rows: int
    cells: str = Field(description="base64 of columns × rows bytes, row by row; 255: most")
    cost: float = Field(description="share of a core that maps take the worker, 0 to 1")


class ErrorBody(Message):
    """Body of every 4xx and 5xx answer."""

    error: str = Field(description="machine-readable, snake_case")
    message: str = Field(description="a sentence for people")


def no_picture(status: WorkerStatus) -> Problem:
    """Of a worker that should be live and can't be."""
    return Problem(
        message=f"{status.instance_id} has no picture: {status.stream_error}",
        action="it is tried again by itself; docs/sessions.md tells what to do for each reason",
    )
