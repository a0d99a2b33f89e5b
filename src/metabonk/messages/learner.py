"""Messages about the learner."""

from pydantic import Field

from metabonk.messages.base import Message, Text, Turns


class LearnerStatus(Message):
    """Current state of the learner."""

    pid: int
    uptime_s: float
    policy_version: int
    steps_trained: int = Field(description="policy steps learned from")
    steps_per_s: float
    steps_dropped: int = Field(description="steps not learned from: too old, or the queue was full")
    updates: int
    gradient_steps_skipped: int = Field(0, description="of which the gradient was not finite")
    policy_lag: float = Field(description="mean age of the last batch, in policy versions")
    waiting: float = Field(
        description="share of its time spent waiting for rollouts; near 0, it limits the fleet"
    )
    losses: dict[str, float] = Field(default_factory=dict)
    save_error: Text | None = Field(
        None, description="why the last checkpoint was not written; null once one is written"
    )
    turns: Turns = Field(default_factory=dict)
