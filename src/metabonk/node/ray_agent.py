"""The actor that runs a node's agent on a machine of a Ray cluster.

Ray starts this process there and ends it; everything else goes by the agent's own connections. Like
all of Ray's calls, that start is a pickle, which Ray itself makes and reads.
"""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from metabonk.settings.environment import environment_with, user_state_dir
from metabonk.system.process import die_with_parent

log = logging.getLogger(__name__)

RESTART_AFTER_S = 5.0
"""An agent that can't start would otherwise be started again all the time."""


class RayAgent:
    """Runs ``metabonk join`` as a child, which ends with this process.

    Args:
        arguments: of the command.
        environment: variables that differ from Ray's.
        folder: name of its working directory, under the user's state.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: str
    ) -> None:
        # Ray starts a process of this class with Python's own logging.
        place = (user_state_dir() or Path("/tmp")) / "metabonk" / "ray" / folder
        place.mkdir(parents=True, exist_ok=True)
        threading.Thread(
            target=self._keep, args=(arguments, environment, place), name="agent", daemon=True
        ).start()

    def ping(self) -> str:
        """Answer: this actor runs."""
        return "ok"

    def _keep(self, arguments: Sequence[str], environment: Mapping[str, str], place: Path) -> None:
        """Run the agent, and end this process after it unless its fleet has ended."""
        parent = os.getpid()
        with (place / "agent.log").open("ab") as output:
            agent = subprocess.Popen(
                (sys.executable, "-m", "metabonk.cli.main", "join", *arguments),
                env=environment_with(environment),
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),
            )
        # The thread lives as long as the process: the kernel ends children with their thread.
        code = agent.wait()
        if code == 0:
            return
        time.sleep(RESTART_AFTER_S)
        os._exit(1)  # Ray starts the actor again (max_restarts).
