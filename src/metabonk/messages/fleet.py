"""Messages to the page about the fleet as a whole."""

from typing import Literal

from pydantic import Field

from metabonk.messages.base import Count, Message, Number, Problem, ShortText, Text
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.workers import Mode, WorkerStatus


class NodeStatus(Message):
    """Machine that plays for a fleet, as its head knows it."""

    node: ShortText
    state: Literal["present", "silent", "lost"]
    address: ShortText = Field(description="by which the head reaches its agent")
    cores: Count
    gpus: list[ShortText]
    sessions: Count = Field(description="encoder sessions that its workers may use")
    workers: list[ShortText] = Field(description="instance ids of those it is to run")


class Start(Message):
    """A process of the fleet that is not there yet, or not again."""

    waited_s: Number = Field(description="how long it has been awaited, seconds")
    reason: Text = Field(description="what is awaited, in a sentence")


class Fleet(Message):
    """Everything on the page's first screen."""

    run: Text | None = Field(description="null in a hub, which shows guests only")
    game: str | None = Field(description="null in a hub")
    mode: Mode | None = Field(description="null in a hub")
    workers: dict[str, WorkerStatus] = Field(
        description="last status of each; one whose process has ended is starting"
    )
    starting: dict[str, Start] = Field(
        default_factory=dict, description="processes that do not answer yet, by name"
    )
    pin: str | None = Field(
        None, description="worker that somebody chose for the program; null: the director chooses"
    )
    viewers: Count = Field(0, description="who watch; someone who watches several workers is one")
    learner: LearnerStatus | None
    problems: list[Problem]
    nodes: list[NodeStatus] = Field(default_factory=list, description="empty on a single machine")
    go2rtc: str | None = Field(
        None, description="URL of go2rtc's page on this machine; null if it is not running"
    )


class LogTail(Message):
    """Last lines of a log."""

    lines: list[Text]


class Featured(Message):
    """Featured workers and the next in turn."""

    live: list[str] = Field(description="instance ids, longest shown first")
    rotate_s: float
    next: str | None = Field(description="next instance id to be shown; null if none is waiting")
    next_in_s: float | None = Field(description="null while viewers hold every session")
