"""Stand-in for ``metabonk render``: writes the same files, as its log tells it to.

``python tests/support/renderer_stand_in.py --log F --video F …``; other arguments are ignored. The
log is a ``Plan`` as JSON. Imports nothing of MetaBonk, which takes a second.
"""

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

CHUNK = b"0123456789abcdef" * 4096
TRACK = b'{"game":"stand-in"}'
MAPS = b'{"time":0.0}\n', b'{"time":0.25}\n'
"""Saliency maps before the first chunk of the video and after the last."""


@dataclass(frozen=True)
class Plan:
    """Behaviour of a renderer.

    Attributes:
        name: makes the replay another one.
        chunks: that it writes to the video.
        waits: before the second chunk, until a file ``go`` is beside the log.
        outcome: that it states, with a message unless it is equal; "" dies without one.
        code: that it exits with; negative for a signal.
        maps: it makes saliency maps.
    """

    name: str = ""
    chunks: int = 3
    waits: bool = False
    outcome: str = "equal"
    message: str = "the reward of step 3 is 1 and was 0"
    code: int = 0
    maps: bool = True

    def log(self) -> bytes:
        """Return the log that makes a renderer follow this plan."""
        return json.dumps(asdict(self)).encode()

    @property
    def video(self) -> bytes:
        """The video that it writes."""
        return CHUNK * self.chunks


def render(plan: Plan, log: Path, video: Path) -> None:
    """Follow a plan."""
    partial = video.with_name(f"{video.name}.partial")
    video.with_name(f"{video.name}.track").write_bytes(TRACK)
    saliency = video.with_name(f"{video.name}.saliency")
    saliency.write_bytes(MAPS[0] if plan.maps else b"")
    with partial.open("wb", buffering=0) as stream:
        for number in range(plan.chunks):
            while number == 1 and plan.waits and not log.with_name("go").exists():
                time.sleep(0.005)
            stream.write(CHUNK)
    if plan.maps:
        with saliency.open("ab") as stream:
            stream.write(MAPS[1])
    if plan.code < 0:
        os.kill(os.getpid(), -plan.code)
        signal.pause()
    if plan.outcome:
        message = None if plan.outcome == "equal" else plan.message
        if plan.outcome == "equal":
            partial.replace(video)
        else:
            partial.unlink()
        outcome = json.dumps({"outcome": plan.outcome, "message": message})
        video.with_name(f"{video.name}.json").write_text(outcome)
    sys.exit(plan.code)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--video", type=Path, required=True)
    arguments, _ = parser.parse_known_args()
    render(Plan(**json.loads(arguments.log.read_bytes())), arguments.log, arguments.video)
