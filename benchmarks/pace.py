"""Speed of live games beside their own pace, and frame rate of their streams.

``python -m benchmarks.pace [--games doom:basic gym:CartPole-v1] [--fps 30 60] [--seconds 20]
[--json FILE]`` starts a real fleet of two training workers for each game and frame rate, one of
them live at 1280×720, and counts the decisions and the frames in the stream's own time.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.waiting import until
from websockets.sync.client import connect

from metabonk.games import describe_game
from metabonk.messages.workers import StreamState
from metabonk.settings.learning import Learning
from metabonk.settings.schema import available_cores

START_S = 120.0
SETTLE_S = 5.0


class Pace(NamedTuple):
    """Rates in the time of a stream.

    Attributes:
        own: tics per second of the game's own pace.
        tics_per_s: shown.
        fps: frames per second.
    """

    own: float
    tics_per_s: float
    fps: float


def measure(game: str, fps: int, seconds: float) -> Pace:
    """Watch a live worker of a training fleet for ``seconds``."""
    learning = Learning()
    own = describe_game(game, learning).tics_per_s
    tics_per_step = learning.frame_skip if game.startswith("doom:") else 1
    environment = {
        "METABONK_CPU_MAX_SESSIONS": "1",
        "METABONK_STREAM_ADAPTIVE": "0",
        "METABONK_STREAM_FPS": str(fps),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fleet(Path(folder), "--workers", "2", "--game", game, environment=environment) as fleet,
    ):
        until("a worker is live", lambda: fleet.in_state(StreamState.LIVE), START_S)
        time.sleep(SETTLE_S)
        steps, frames, media_s = _watch(fleet, seconds)
        fleet.stop()
    return Pace(own, tics_per_step * steps / media_s, frames / media_s)


def _watch(fleet: FleetUnderTest, seconds: float) -> tuple[int, int, float]:
    """Return the decisions and frames between two decisions, and the media time between these."""
    url = fleet.in_state(StreamState.LIVE)[0].stream_url.replace("http", "ws", 1)
    thoughts: list[tuple[float, int]] = []
    frames = 0
    with connect(url.removesuffix(".mp4"), max_size=None) as socket:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            message = socket.recv(timeout=10)
            if isinstance(message, bytes):
                frames += 1
            elif (told := json.loads(message))["type"] == "thought":
                thoughts.append((told["time"], frames))
    (first_at, first_frame), (last_at, last_frame) = thoughts[0], thoughts[-1]
    steps = sum(at > first_at for at, _ in thoughts)
    return steps, last_frame - first_frame, last_at - first_at


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--games", nargs="+", default=["doom:basic", "gym:CartPole-v1"], metavar="GAME"
    )
    parser.add_argument("--fps", nargs="+", type=int, default=[30, 60])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    title = f"{platform.platform()}, {available_cores()} cores, load {os.getloadavg()[0]:.1f}"
    table = Table("game", "own pace", "fps wanted", "fps", "tics/s", "speed", title=title)
    results = []
    for game in arguments.games:
        for fps in arguments.fps:
            pace = measure(game, fps, arguments.seconds)
            results.append({"game": game, "wanted_fps": fps, **pace._asdict()})
            speed = f"{pace.tics_per_s / pace.own:.2f}"
            rates = (f"{pace.fps:.1f}", f"{pace.tics_per_s:.1f}", speed)
            table.add_row(game, f"{pace.own:g}", str(fps), *rates)
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
