"""Messages between the head of a fleet and the agents of its nodes, as pydantic models.

Every message but the first names the start of the head and the epoch that it gave the node at its
join. A message of another start or epoch is void: its sender has been taken for dead.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from metabonk.messages.base import Count, Message, Number, Problem, ShortText, Text
from metabonk.messages.fleet import Featured
from metabonk.messages.sessions import PoolStatus
from metabonk.messages.workers import EpisodeReport, WorkerStatus

NODES_PATH = "/api/nodes"
WORKERS_PATH = "/worker"
"""Beginning of the paths of a node's port that lead to its workers."""

HEAD_HEADER = "X-MetaBonk-Head"
EPOCH_HEADER = "X-MetaBonk-Epoch"
ROLLOUT_HEADER = "X-MetaBonk-Rollout"
"""Number of a rollout in its epoch: one that arrives twice counts once."""

MAX_WORKERS = 256

NodeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class NodeResources(Message):
    """Resources of a node."""

    cores: int = Field(ge=1, le=100_000)
    gpus: list[ShortText] = Field(default_factory=list, max_length=256)
    sessions: Count = Field(0, description="encoder sessions that its workers may use")


class JoinClaim(BaseModel):
    """As much of a join as the agents of all versions send."""

    model_config = ConfigDict(extra="allow")

    version: ShortText
    node: NodeName


class JoinRequest(Message):
    """First message of an agent."""

    version: ShortText = Field(description="of MetaBonk; the head must have the same")
    node: NodeName
    agent: ShortText = Field(description="random, of this process")
    machine: ShortText = Field(description="that it runs on, in this boot")
    port: int = Field(ge=1, le=65535, description="that it serves its workers on")
    address: ShortText | None = Field(
        None, description="host by which the head reaches it; null: that which it joins from"
    )
    resources: NodeResources


class JoinReply(Message):
    """Answer to a join."""

    run: ShortText
    head: ShortText = Field(description="random, of this start of the head")
    epoch: Count
    settings: dict[str, Any] = Field(description="of the fleet")


class Grant(Message):
    """A worker that a node is to run, and where it continues to count."""

    worker_index: int = Field(ge=0, lt=MAX_WORKERS)
    step: Count
    episode: Count
    start: Count = Field(description="number of its last start; the next one is higher")


class NodeExit(Message):
    """End of a process of a node."""

    number: Count = Field(description="counts the exits of an epoch")
    name: ShortText
    message: Text


class NodeReport(Message):
    """Report of an agent, twice a second."""

    head: ShortText
    epoch: Count
    clock: Number = Field(description="the node's Unix time, seconds")
    running: list[Count] = Field(
        max_length=MAX_WORKERS, description="workers that have a process, also one that is ending"
    )
    statuses: list[WorkerStatus] = Field(max_length=MAX_WORKERS)
    episodes: list[EpisodeReport] = Field(default_factory=list, max_length=10_000)
    sessions: list[PoolStatus] = Field(default_factory=list, max_length=1_000)
    featured: Featured
    problems: list[Problem] = Field(default_factory=list, max_length=1_000)
    exits: list[NodeExit] = Field(default_factory=list, max_length=1_000)


class NodeOrders(Message):
    """Answer to a report: level-triggered, so that it is repeated in every one."""

    workers: list[Grant] = Field(max_length=MAX_WORKERS)
    clock: Number = Field(description="the head's Unix time, seconds")
    stopping: bool = Field(False, description="the fleet ends; the agent should as well")
