"""Messages to the page about runs, as pydantic models."""

from typing import Literal

from pydantic import Field, field_validator

from metabonk.messages.base import Count, Message, ShortText, Text
from metabonk.messages.workers import EpisodeResult

MAX_TAGS = 20
MAX_NOTE = 20_000


class Episode(EpisodeResult):
    """An episode of a run."""

    id: Count = Field(description="number of the episode in the run")
    replayable: bool = Field(description="its log is kept, so that it can be watched")


class CurvePoint(Message):
    """Consecutive episodes, aggregated for a plot."""

    fleet_step: int = Field(description="steps of all workers at the last episode")
    ended_at: float = Field(description="Unix time of the last episode, seconds")
    mean_return: float
    episodes: int = Field(description="number of episodes")


class RunNotes(Message):
    """Title, note and tags of a run."""

    title: ShortText = Field("", description="shown beside its name")
    note: Text = Field("", max_length=MAX_NOTE)
    tags: list[ShortText] = Field(default_factory=list)
    archived: bool = Field(False, description="left out of the list unless that is asked for")

    @field_validator("tags")
    @classmethod
    def _check_number(cls, tags: list[str]) -> list[str]:
        if len(tags) > MAX_TAGS:
            raise ValueError(f"{len(tags)} are too many; at most {MAX_TAGS} are kept")
        return tags


class LearningCurves(Message):
    """Curves that the learner has recorded, as in the run's files for TensorBoard.

    All lists are of one length: a point is the mean of neighbouring updates.
    """

    steps: list[int] = Field(description="steps trained")
    times: list[float] = Field(description="Unix time, seconds")
    values: dict[str, list[float | None]] = Field(description="by name; null where unknown")


class RunSummary(Message):
    """Summary of a run, from its first start until now."""

    run: Text
    game: str
    started_at: float = Field(description="Unix time, seconds")
    updated_at: float = Field(description="Unix time of the last episode, seconds")
    episodes: int
    steps: int = Field(description="policy steps of all finished episodes")
    best_return: float | None = Field(description="best return of an episode")
    recent_return: float | None = Field(description="mean return of the last 100 episodes")
    current: bool = Field(description="the run in progress")
    notes: RunNotes


class Checkpoint(Message):
    """Checkpoint that can be played or resumed."""

    name: str
    kind: Literal["newest", "older", "best"]
    policy_version: int
    steps: int = Field(description="policy steps learned from")
    mean_return: float | None = Field(description="mean of the 100 episodes before it")
    saved_at: float = Field(description="Unix time, seconds")
    bytes: int
