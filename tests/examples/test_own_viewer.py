"""The example's program against a real server and a real encoder."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from metabonk.messages.streams import Thought
from metabonk.messages.workers import StreamState
from tests.support.frames import encode_frames, regular_times
from tests.support.processes import kill_tree
from tests.support.stage import Stage, stage
from tests.support.waiting import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_viewer.py"
SIZES = ((320, 180), (160, 90))
FRAMES = 65
FPS = 30
THOUGHT = Thought(
    action=1,
    probabilities=[0.25, 0.75],
    value=3.5,
    reward=1.0,
    episode_return=4.0,
    episode=2,
    step=7,
    decided_at=1_790_000_000.5,
)


def play(staged: Stage, size: tuple[int, int]) -> None:
    """Two seconds of video in a tenth of the time; once the viewer has been sent it, standby."""
    before = staged.hub.stats().fragments_sent
    staged.hub.open_epoch(*size, FPS)
    staged.hub.set_state(StreamState.LIVE, "live through av:libx264")
    for unit in encode_frames(regular_times(FRAMES, FPS), size=size):
        staged.hub.publish(unit, [THOUGHT])
        time.sleep(0.003)
    until("all is sent", lambda: staged.hub.stats().fragments_sent == before + FRAMES)
    staged.hub.set_state(StreamState.STANDBY, "another worker is featured")


def saved(folder: Path, size: tuple[int, int]) -> int:
    """Number of images of this size."""
    count = 0
    for file in folder.glob("*.jpg"):
        # The newest may be half written.
        with contextlib.suppress(OSError), Image.open(file) as image:
            count += image.size == size
    return count


def test_it_prints_thoughts_and_saves_a_frame_a_second_from_one_encoder_after_another(
    tmp_path: Path,
):
    output = tmp_path / "output.txt"
    with stage() as staged, output.open("w") as stdout:
        viewer = subprocess.Popen(
            [sys.executable, EXAMPLE, f"{staged.ws}/stream", tmp_path], stdout=stdout
        )
        try:
            until("it watches", lambda: output.read_text().startswith("standby: "), 60)
            for size in SIZES:
                play(staged, size)
            until("frames of the second encoder", lambda: saved(tmp_path, SIZES[1]) >= 2)
        finally:
            kill_tree(viewer)
    said = output.read_text()
    assert saved(tmp_path, SIZES[0]) >= 2
    assert "live: live through av:libx264\n" in said
    assert said.count("action 1, value +3.50\n") >= FRAMES
