"""A node's one port: the way of the head to the node's workers, under the nodes' token."""

from pathlib import Path
from typing import Annotated

from fastapi import Query
from fastapi.responses import PlainTextResponse

from metabonk.http.app import make_http_app
from metabonk.messages.fleet import LogTail
from metabonk.messages.nodes import WORKERS_PATH
from metabonk.orchestrator.fleet.roster import Roster, WorkerAddress
from metabonk.orchestrator.gateway.worker_pipe import WorkerPipe
from metabonk.system.log_files import read_log

MAX_LOG_BYTES = 256 << 10

Lines = Annotated[int, Query(ge=1, le=5_000)]


class NodePort:
    """Application of the node's port.

    Args:
        agent: random, of this process; tells the head that it has reached it.
        token: required of every request.

    Attributes:
        app: for the head.
    """

    def __init__(self, agent: str, token: str) -> None:
        self._roster: Roster | None = None
        self._logs = Path()
        pipe = WorkerPipe(self._find)
        self.app = make_http_app("MetaBonk node", lifespan=pipe.lifespan, token=token)

        @self.app.get("/agent", response_class=PlainTextResponse)
        def get_agent() -> str:
            """Tell which agent answers."""
            return agent

        @self.app.get(f"{WORKERS_PATH}/{{name}}/log")
        def get_log(name: str, lines: Lines = 200) -> LogTail:
            """End of a worker's log."""
            pipe.address(name)
            text = read_log(self._logs / f"{name}.log", MAX_LOG_BYTES)
            return LogTail(lines=text.splitlines()[-lines:])

        self.app.include_router(pipe.routes())

    def show(self, roster: Roster | None, logs: Path) -> None:
        """Lead to these workers from now on; None: to none.

        Args:
            roster: of the workers.
            logs: folder of their logs.
        """
        self._roster, self._logs = roster, logs

    def _find(self, name: str) -> WorkerAddress | None:
        member = None if self._roster is None else self._roster.find(name)
        return None if member is None else member.address
