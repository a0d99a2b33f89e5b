"""Instant replay and clips of a live stream, in a real browser."""

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from metabonk.messages.workers import StreamState
from metabonk.streaming.clip import Clip
from tests.support import http
from tests.support.browser import axe_violations, open_page
from tests.support.fleet import FleetUnderTest
from tests.support.machine_speed import SLOWNESS
from tests.support.recordings import record
from tests.support.viewer import nobody_yields
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(400)

SHOWN_MS = 60_000 * SLOWNESS
PAST_S = 12.0
"""Length of the stream before it is watched: more than a press goes back."""

FARTHEST_S = 20
"""What is fetched at first: a press goes back from now, and its clip may come later."""

# A replay that plays on is over after ten seconds, and a busy machine may take longer to check it.
HOLD = "video => { video.pause(); video.addEventListener('play', () => video.pause()); }"

WATCH_STATES = """player => {
  window.states = [];
  const note = () => states.push(player.dataset.state);
  new MutationObserver(note).observe(player, { attributeFilter: ['data-state'] });
}"""

PLAYED = """async base64 => {
  const video = document.createElement('video');
  const bytes = Uint8Array.from(atob(base64), each => each.charCodeAt(0));
  const widths = new Set();
  const note = (_, { width }) => { widths.add(width); video.requestVideoFrameCallback(note); };
  video.requestVideoFrameCallback(note);
  video.muted = true;
  video.src = URL.createObjectURL(new Blob([bytes], { type: 'video/mp4' }));
  document.body.append(video);
  await video.play();
  const error = await new Promise(over => {
    video.onended = () => over(null);
    video.onerror = () => over(video.error.message);
  });
  video.currentTime = 0;
  await new Promise(sought => { video.onseeked = sought; });
  return { error, widths: [...widths], soughtWidth: video.videoWidth };
}"""

# What is kept begins at a keyframe: it may be a little longer than the minute that the bar spans.
AT_THE_FAR_END = "video => video.currentTime < 1 || video.duration - video.currentTime > 55"

PAINTED = """video => new Promise(painted => {
  const times = [];
  const note = (_, { mediaTime }) => {
    times.push(mediaTime);
    if (times.length < 5) video.requestVideoFrameCallback(note);
    else painted(times);
  };
  video.requestVideoFrameCallback(note);
})"""


@pytest.fixture
def worker(fleet: FleetUnderTest) -> str:
    """Return a live worker with a past."""
    live = fleet.first_in(StreamState.LIVE).instance_id

    def kept_s() -> float:
        answer = http.get(f"{fleet.page}/api/worker/{live}/clip.json?seconds=60")
        return float(answer.json().get("duration", 0.0))

    until("there is a past", lambda: kept_s() > PAST_S, 90)
    return live


def watch(fleet: FleetUnderTest, page: Page, worker: str) -> Locator:
    page.goto(f"{fleet.page}/stream?worker={worker}")
    player = page.locator(".player[data-state]").first
    expect(player).to_have_attribute("data-state", "live", timeout=SHOWN_MS)
    return player


def test_the_viewer_goes_back_and_returns_to_live(fleet: FleetUnderTest, page: Page, worker: str):
    player = watch(fleet, page, worker)
    player.evaluate(WATCH_STATES)
    page.keyboard.press("r")
    replay = page.get_by_role("region", name=f"Instant replay of {worker}")
    expect(replay).to_have_attribute("data-shown", "true", timeout=SHOWN_MS)
    badge = replay.locator(".player-state")
    expect(badge).to_have_text(re.compile(r"^−[1-9]\d? s$"))
    behind = int(re.findall(r"\d+", badge.inner_text())[0])
    assert 9 <= behind <= FARTHEST_S
    video = replay.locator("video")
    times = video.evaluate(PAINTED)
    assert times == sorted(times) and times[0] < times[-1], "it moves"
    video.evaluate(HOLD)
    expect(page.get_by_role("region", name="The policy's thoughts")).to_be_visible()

    page.keyboard.press("s")
    expect(video).to_have_js_property("playbackRate", 0.5)
    expect(badge).to_have_text(re.compile("½×$"))
    bar = page.get_by_role("slider", name="Position in the last minute")
    bar.focus()
    page.keyboard.press("Home")
    page.wait_for_function(AT_THE_FAR_END, arg=video.element_handle())
    assert axe_violations(page) == []

    # All the while the live stream has gone on underneath, on one connection.
    expect(player).to_have_attribute("data-state", "live")
    until("it is counted", lambda: fleet.statuses()[worker].stream_dedicated_clients == 1)
    page.keyboard.press("l")
    expect(replay).to_have_count(0)
    expect(player).to_have_attribute("data-state", "live")

    page.get_by_role("button", name="Back 10 s").click()
    expect(replay).to_have_attribute("data-shown", "true", timeout=SHOWN_MS)
    bar.fill("-0.5")
    expect(replay).to_have_count(0, timeout=SHOWN_MS)
    expect(player).to_have_attribute("data-state", "live")
    assert "reconnecting" not in page.evaluate("states"), "the live stream was never left"


def test_a_clip_is_downloaded_and_plays(
    fleet: FleetUnderTest, page: Page, worker: str, tmp_path: Path
):
    watch(fleet, page, worker)
    save = page.get_by_role("link", name="Save clip")
    with page.expect_download() as live:
        save.click()
    page.keyboard.press("r")
    replay = page.get_by_role("region", name=f"Instant replay of {worker}")
    expect(replay).to_have_attribute("data-shown", "true", timeout=SHOWN_MS)
    replay.locator("video").evaluate(HOLD)
    with page.expect_download() as shown:
        save.click()
    name = re.compile(worker + r"-[\w.-]+-\d{4}(-\d\d){5}\.mp4")
    for download in (live.value, shown.value):
        assert name.fullmatch(download.suggested_filename)
        file = tmp_path / download.suggested_filename
        download.save_as(file)
        command = ("ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", file)
        probed = subprocess.run(command, capture_output=True, text=True, check=True)
        (stream,) = json.loads(probed.stdout)["streams"]
        assert (probed.stderr, stream["codec_name"], stream["width"]) == ("", "h264", 1280)
        assert stream["nb_frames"] == stream["nb_read_frames"]
        assert float(stream["start_time"]) == 0 and float(stream["duration"]) > PAST_S


def test_a_clip_that_changes_its_size_plays_and_can_be_sought(page: Page):
    epochs = [(1000.0 + i, 28, size) for i, size in enumerate([(320, 180), (160, 90), (256, 144)])]
    file = b"".join(Clip(record(epochs).last(60)).chunks())
    played = page.evaluate(PLAYED, base64.b64encode(file).decode())
    assert played == {"error": None, "widths": [320, 160, 256], "soughtWidth": 320}


def test_without_a_past_the_page_says_so_and_stays_live(
    fleet: FleetUnderTest, page: Page, worker: str
):
    with nobody_yields(fleet) as standby:
        page.goto(f"{fleet.page}/stream?worker={standby}")
        player = page.locator(".player[data-state]").first
        expect(player).to_have_attribute("data-state", "standby", timeout=SHOWN_MS)
        page.keyboard.press("r")
        refusal = page.get_by_role("alert")
        expect(refusal).to_contain_text("no picture of the last 60 s is kept", timeout=SHOWN_MS)
        expect(page.get_by_role("link", name="Save clip")).to_have_count(0)


def test_on_a_phone_everything_fits_and_can_be_tapped(
    fleet: FleetUnderTest, browser: Browser, worker: str
):
    page = open_page(
        browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    try:
        watch(fleet, page, worker)
        page.get_by_role("button", name="Back 10 s").tap()
        replay = page.get_by_role("region", name=f"Instant replay of {worker}")
        expect(replay).to_have_attribute("data-shown", "true", timeout=SHOWN_MS)
        replay.locator("video").evaluate(HOLD)
        assert axe_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for control in page.locator(".instant-replay-bar").locator("input, button").all():
            box = control.bounding_box()
            assert box is not None and box["height"] >= 24
        page.get_by_role("button", name="Live", exact=True).tap()
        expect(replay).to_have_count(0)
    finally:
        page.close()
