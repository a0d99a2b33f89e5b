"""Replays in a real browser, of workers that train without a session."""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from metabonk.messages.runs import Episode
from metabonk.messages.workers import StreamState
from metabonk.policy.episode_log import EpisodeLog
from metabonk.runs import layout
from tests.support import http
from tests.support.browser import axe_violations, displayed
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.machine_speed import SLOWNESS
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(240)

DRAWN_MS = 60_000 * SLOWNESS
"""Drawing has the lowest priority, on a machine that trains."""

GAME = "gym:CartPole-v1"
ROUNDED_S = 0.02
"""Addresses have hundredths, and a pixel of the seek bar is some time."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetUnderTest]:
    environment = {
        "METABONK_CPU_MAX_SESSIONS": "1",
        "METABONK_STREAM_ADAPTIVE": "0",
        "METABONK_LEARNING_CHECKPOINT_INTERVAL_S": "5",
    }
    arguments = ("--workers", "2", "--game", GAME)
    with run_fleet(tmp_path_factory.mktemp("fleet"), *arguments, environment=environment) as fleet:
        until("a worker is in standby", lambda: fleet.in_state(StreamState.STANDBY), 60)
        until("episodes can be replayed", lambda: episodes(fleet), 60)
        yield fleet


def episodes(fleet: FleetUnderTest, order: str = "newest") -> list[Episode]:
    """Return the episodes that can be replayed."""
    url = f"{fleet.orchestrator}/api/episodes?replayable=true&order={order}"
    return [Episode.model_validate(each) for each in http.get(url).raise_for_status().json()]


def run_url(fleet: FleetUnderTest) -> str:
    run = http.get(f"{fleet.orchestrator}/api/fleet").json()["run"]
    return f"{fleet.page}/api/runs/{run}"


def short_episode(fleet: FleetUnderTest) -> Episode:
    """Return the longest of the hundred shortest episodes."""
    return max(episodes(fleet, "worst"), key=lambda each: each.length)


def playhead(page: Page) -> list[float]:
    """Return the current time of every video, seconds."""
    times: list[float] = page.evaluate(
        "[...document.querySelectorAll('video')].map(({ currentTime }) => currentTime)"
    )
    return times


def wait_until_drawn(page: Page, videos: int = 1) -> None:
    states = page.locator(".player-state")
    expect(states).to_have_text(["REPLAY"] * videos, timeout=DRAWN_MS)


def test_a_standby_tile_leads_to_a_replay_that_moves(fleet: FleetUnderTest, page: Page):
    page.goto(f"{fleet.page}/neural/broadcast")
    link = page.locator(".tile[data-place=standby]").get_by_role(
        "link", name="Watch its last episode"
    )
    # In one step: which worker is in standby changes with each rotation.
    worker = link.evaluate(
        "link => (link.click(), link.closest('.tile').ariaLabel)", timeout=30_000 * SLOWNESS
    )
    expect(page).to_have_url(re.compile(r"/replay\?run=[^&]+&episode=\d+$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"of {worker}")
    thoughts = page.locator(".thoughts")
    expect(thoughts).to_be_visible(timeout=DRAWN_MS)
    shares = [
        int(text.removesuffix("%"))
        for text in thoughts.locator(".action-probability").all_inner_texts()
    ]
    assert 95 <= sum(shares) <= 105, "probabilities, each rounded"
    until("the video plays", lambda: playhead(page)[0] > 0.1)
    assert page.locator("video").evaluate("video => video.videoWidth") == 1280


def test_thoughts_keys_timeline_and_address_are_in_step(fleet: FleetUnderTest, page: Page):
    episode = short_episode(fleet)
    track = http.get(f"{run_url(fleet)}/episodes/{episode.id}/replay.json").json()
    page.goto(f"{fleet.page}/replay?episode={episode.id}")
    wait_until_drawn(page)
    page.keyboard.press("End")
    play = page.locator(".replay-play")
    expect(play).to_contain_text("Play again")
    returned = page.locator(".returns-total dd")
    expect(returned).to_have_text(displayed(episode.total_reward))

    page.keyboard.press("Home")
    for step in range(1, 4):
        page.keyboard.press(".")
        until("the next step is shown", lambda s=step: in_step(page, track) == s)
    page.keyboard.press(",")
    until("the step before is shown", lambda: in_step(page, track) == 2)
    until("the address follows", lambda: abs(linked_time(page) - track["times"][2]) < ROUNDED_S)

    click_timeline(page, 0.5)
    middle = track["duration_s"] / 2
    until("it jumps", lambda: abs(playhead(page)[0] - middle) < ROUNDED_S)
    until("the address follows", lambda: abs(linked_time(page) - middle) < ROUNDED_S)
    page.reload()
    until("the address leads there", lambda: min(playhead(page), default=0) > middle - ROUNDED_S)


def click_timeline(page: Page, share: float) -> None:
    """Click the seek bar at a share of its width."""
    box = page.get_by_role("slider", name="Position in the episode").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


def linked_time(page: Page) -> float:
    """Return the time in the page's address, seconds."""
    # Not the page's url, which doesn't change while Python waits.
    return float(page.evaluate("new URLSearchParams(location.search).get('t') ?? 0"))


def in_step(page: Page, track: dict[str, Any]) -> int | None:
    """Return the step of the frame on screen; None if the panel shows another one's value."""
    time = playhead(page)[0]
    step = max(0, sum(each <= time + 0.005 for each in track["times"]) - 1)
    shown = page.locator(".returns dd").nth(1).inner_text()
    return step if shown == displayed(track["values"][step]) else None


def test_a_point_of_the_learning_curve_leads_to_a_replay(fleet: FleetUnderTest, page: Page):
    page.goto(f"{fleet.page}/runs")
    plot = page.locator(".u-over").first  # Returns come first.
    plot.wait_for()
    plot.hover()
    plot.click()
    expect(page).to_have_url(re.compile(r"/replay\?run=[^&]+&episode=\d+$"))
    expect(page.locator(".player")).to_be_visible()


def test_then_and_now_play_in_step(fleet: FleetUnderTest, page: Page):
    checkpoints = f"{run_url(fleet)}/checkpoints"
    until("there is a checkpoint", lambda: http.get(checkpoints).raise_for_status().json(), 60)
    episode = short_episode(fleet)
    page.goto(f"{fleet.page}/replay?episode={episode.id}")
    page.get_by_role("button", name="Then and now").click()
    wait_until_drawn(page, videos=2)
    expect(page.locator(".thoughts")).to_have_count(2)
    expect(page.get_by_role("slider")).to_have_count(1)
    expect(page.locator(".side-title").first).to_contain_text(displayed(episode.total_reward))
    durations = page.evaluate(
        "[...document.querySelectorAll('video')].map(({ duration }) => duration)"
    )
    page.keyboard.press("End")
    play = page.locator(".replay-play")
    expect(play).to_contain_text("Play again")
    assert playhead(page) == pytest.approx(durations, abs=0.1), "each ends at its own end"
    middle = min(durations) / 2
    click_timeline(page, middle / max(durations))
    expect(play).to_have_text(re.compile("^Play "))
    until("both go there", lambda: playhead(page) == pytest.approx([middle] * 2, abs=0.05))
    page.get_by_role("button", name="4×").click()
    page.keyboard.press("Space")
    until("both play", lambda: min(playhead(page)) > middle + 0.05)
    expect(play).to_contain_text("Play again", timeout=30_000 * SLOWNESS)
    assert playhead(page) == pytest.approx(durations, abs=0.1)
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert axe_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_an_episode_that_comes_out_differently_is_not_shown_as_if_true(
    fleet: FleetUnderTest, page: Page
):
    episode = episodes(fleet)[0]
    tamper_with_the_log(fleet, episode.id)
    page.goto(f"{fleet.page}/replay?episode={episode.id}")
    expect(page.locator(".player-state")).to_have_text("CAN'T BE REPEATED", timeout=DRAWN_MS)
    expect(page.get_by_role("alert")).to_contain_text("in step 1 of")
    expect(page.locator(".thoughts")).to_have_count(0)
    expect(page.locator(".replay-play")).to_be_disabled()


def tamper_with_the_log(fleet: FleetUnderTest, episode: int) -> None:
    """Change the first reward in the log of an episode."""
    run = http.get(f"{fleet.orchestrator}/api/fleet").json()["run"]
    file = fleet.folder / "runs" / run / layout.EPISODES_FILE
    database = sqlite3.connect(file, timeout=30)
    with database:
        row = (episode,)
        (data,) = database.execute(
            "SELECT log FROM episode_logs WHERE episode_id = ?", row
        ).fetchone()
        log = EpisodeLog.from_bytes(data)
        rewards = log.rewards.copy()
        rewards[0] += 50
        tampered = replace(log, rewards=rewards).to_bytes()
        database.execute(
            "UPDATE episode_logs SET log = ? WHERE episode_id = ?", (tampered, episode)
        )
    database.close()
