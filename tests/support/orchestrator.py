"""A stand-in for the orchestrator, which assigns one worker what a test wants."""

from types import TracebackType

from fastapi import FastAPI

from metabonk.http.server import HttpServer
from metabonk.messages.workers import (
    DesiredState,
    EpisodeReport,
    Heartbeat,
    HeartbeatReply,
    WorkerStatus,
)


class Orchestrator:
    """Answers heartbeats; served within the block.

    Args:
        port: to serve on.

    Attributes:
        desired: state of the worker.
        heartbeats: received, oldest first.
    """

    def __init__(self, port: int) -> None:
        self.desired = DesiredState.STANDBY
        self.heartbeats: list[Heartbeat] = []
        app = FastAPI()
        app.post("/api/heartbeat")(self._reply)
        self._server = HttpServer(app, "127.0.0.1", port)

    def _reply(self, heartbeat: Heartbeat) -> HeartbeatReply:
        self.heartbeats.append(heartbeat)
        return HeartbeatReply(desired=self.desired, reason="the test desires it")

    def __enter__(self) -> "Orchestrator":
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()

    @property
    def episodes(self) -> list[EpisodeReport]:
        """Every episode reported."""
        return [episode for heartbeat in self.heartbeats for episode in heartbeat.episodes]

    @property
    def status(self) -> WorkerStatus:
        """The newest status."""
        return self.heartbeats[-1].status
