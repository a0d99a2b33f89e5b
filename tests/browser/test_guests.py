"""Environments of a trainer of one's own, on the page and in a notebook's cell."""

import functools
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from metabonk.broadcast.meeting import page_address
from metabonk.broadcast.notebook import PATH, cell
from tests.support.browser import displayed
from tests.support.hub import Place, place
from tests.support.machine_speed import SLOWNESS
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

LIVE_MS = 60_000 * SLOWNESS
STAGE = ".tile[data-place=stage]"

TRAINER = """
import importlib, sys, time
import gymnasium
import metabonk

for package in ("ale_py", "minigrid", "vizdoom.gymnasium_wrapper"):
    importlib.import_module(package)
env = metabonk.Broadcast(gymnasium.make(sys.argv[1]))
env.action_space.seed(1)
env.reset(seed=1)
total = 0.0
with open("returns.txt", "a", buffering=1) as log:
    while True:
        _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        total += float(reward)
        time.sleep(0.002)
        if terminated or truncated:
            print(total, file=log)
            total = 0.0
            env.reset()
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as here:
        (tmp_path / "trainer.py").write_text(TRAINER)
        yield here


def train(here: Place, game: str) -> None:
    """Start a trainer, which logs its returns; wait for its page."""
    process = subprocess.Popen(
        [sys.executable, "trainer.py", game],
        cwd=here.folder,
        env=here.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    here.trainings.append(process)
    until("there is a page", lambda: page_address(here.rings) is not None, 60)


def logged(here: Place) -> list[str]:
    """Return the trainer's returns as the page writes them."""
    lines = (here.folder / "returns.txt").read_text().split()
    return [displayed(float(line)) for line in lines]


def stat(stage: Locator, name: str) -> Locator:
    """Return the value of a tile's statistic, without the small print."""
    return stage.locator("dl.stats > div", has=stage.page.get_by_text(name, exact=True)).locator(
        "dd"
    )


def moves(stage: Locator) -> bool:
    """Tell whether the video's picture differs from the one half a second ago."""
    return bool(
        stage.locator("video").evaluate(
            """async (video) => {
              const canvas = document.createElement('canvas');
              canvas.width = 128;
              canvas.height = 72;
              const context = canvas.getContext('2d', { willReadFrequently: true });
              const picture = () => {
                context.drawImage(video, 0, 0, 128, 72);
                return context.getImageData(0, 0, 128, 72).data;
              };
              const before = picture();
              await new Promise((resolve) => setTimeout(resolve, 500));
              const after = picture();
              return after.some((value, i) => Math.abs(value - before[i]) > 32);
            }"""
        )
    )


@pytest.mark.parametrize(
    ("game", "name", "returns"),
    [
        ("CartPole-v1", "CartPole-v1-0", 3),
        ("MiniGrid-Empty-5x5-v0", "MiniGrid-Empty-5x5-v0-0", 2),
        ("VizdoomBasic-v1", "VizdoomBasic-v1-0", 2),
        ("ALE/Pong-v5", "ALE-Pong-v5-0", 1),
    ],
)
def test_the_picture_moves_and_the_return_is_that_of_the_trainers_log(
    here: Place, page: Page, game: str, name: str, returns: int
):
    train(here, game)
    page.goto(f"{here.page}/")
    expect(page).to_have_url(f"{here.page}/neural/broadcast", timeout=LIVE_MS)
    stage = page.locator(STAGE)
    expect(stage.get_by_role("link", name=name)).to_be_visible(timeout=LIVE_MS)
    expect(stage.locator(".player")).to_have_attribute("data-state", "live", timeout=LIVE_MS)
    until("the picture moves", lambda: moves(stage), 30)
    seen = list[str]()

    def has_seen() -> bool:
        text = stat(stage, "Last return").inner_text()
        if text != "–" and text not in seen[-1:]:
            seen.append(text)
        return len(seen) >= returns

    until("episodes end", has_seen, 120)
    left = iter(logged(here))
    assert all(each in left for each in seen), (seen, logged(here))
    thoughts = stage.get_by_label("The policy's thoughts")
    expect(thoughts.get_by_text("Return")).to_be_visible()


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_notebooks_cell_has_the_page_under_either_name_of_this_machine(
    here: Place, page: Page, tmp_path: Path
):
    train(here, "CartPole-v1")
    address = page_address(here.rings)
    assert address is not None
    folder = tmp_path / "notebook"
    folder.mkdir()
    (folder / "cell.html").write_text(f"<!doctype html>{cell(address + PATH, 500)}")
    handler = functools.partial(Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for host in ("localhost", "127.0.0.1"):
            page.goto(f"http://{host}:{server.server_port}/cell.html")
            tile = page.frame_locator("iframe").locator(STAGE)
            expect(tile.get_by_role("link", name="CartPole-v1-0")).to_be_visible(timeout=LIVE_MS)
        server.shutdown()
