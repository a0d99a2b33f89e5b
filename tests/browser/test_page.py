"""A worker's page in a real browser: video over both transports, standby, reconnection."""

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from metabonk.messages.workers import StreamState
from tests.support import http
from tests.support.fleet import FleetUnderTest
from tests.support.machine_speed import SLOWNESS
from tests.support.viewer import nobody_yields
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(400)

SHOWN_MS = 90_000 * SLOWNESS
"""For a stream to be shown, or to be known not to be, on a busy machine."""

NOT_LIVE = "() => document.querySelector('.player[data-state]').dataset.state !== 'live'"

# A few pixels of the current frame, as one string.
FINGERPRINT = """video => {
  const canvas = document.createElement('canvas');
  canvas.width = 32; canvas.height = 18;
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 32, 18);
  return Array.from(context.getImageData(0, 0, 32, 18).data).join();
}"""


def wait_until_it_changes(video: Locator) -> None:
    fingerprints: set[str] = set()

    def has_changed_twice() -> bool:
        fingerprints.add(video.evaluate(FINGERPRINT))
        return len(fingerprints) >= 3

    until("the video changes", has_changed_twice, 60)


def test_a_live_worker_plays_and_moves(fleet: FleetUnderTest, page: Page):
    live = fleet.first_in(StreamState.LIVE).instance_id
    page.goto(f"{fleet.page}/stream?worker={live}")
    player = page.locator(".player[data-state]").first
    expect(player).to_have_attribute("data-state", "live", timeout=SHOWN_MS)
    expect(page.get_by_text("LIVE", exact=True).first).to_be_visible()
    video = page.locator("video").first
    began = video.evaluate("video => video.currentTime")
    wait_until_it_changes(video)
    page.wait_for_function(
        "began => document.querySelector('video').currentTime > began + 1", arg=began
    )
    assert video.evaluate("video => video.videoWidth") == 1280


def test_a_stream_plays_on_in_a_window_above_all_others(fleet: FleetUnderTest, page: Page):
    live = fleet.first_in(StreamState.LIVE).instance_id
    page.goto(f"{fleet.page}/stream?worker={live}")
    player = page.locator(".player[data-state]").first
    expect(player).to_have_attribute("data-state", "live", timeout=SHOWN_MS)
    page.keyboard.press("i")
    page.wait_for_function(
        "document.pictureInPictureElement === document.querySelector('.player video')"
    )
    wait_until_it_changes(page.locator("video").first)
    page.keyboard.press("i")
    page.wait_for_function("document.pictureInPictureElement === null")
    expect(player).to_have_attribute("data-state", "live")


def test_a_standby_worker_says_so_and_shows_snapshots(fleet: FleetUnderTest, page: Page):
    with nobody_yields(fleet) as standby:
        page.goto(f"{fleet.page}/stream?worker={standby}")
        player = page.locator(".player[data-state]").first
        expect(player).to_have_attribute("data-state", "standby", timeout=SHOWN_MS)
        expect(page.get_by_text("STANDBY — TRAINING WITHOUT A SESSION").first).to_be_visible()
        image = page.locator(".player img").first
        expect(image).to_be_visible()
        page.wait_for_function("image => image.naturalWidth > 100", arg=image.element_handle())


def test_the_player_reconnects_after_its_worker_was_killed(fleet: FleetUnderTest, page: Page):
    live = fleet.first_in(StreamState.LIVE)
    page.goto(f"{fleet.page}/stream?worker={live.instance_id}")
    player = page.locator(".player[data-state]").first
    expect(player).to_have_attribute("data-state", "live", timeout=SHOWN_MS)
    psutil.Process(live.pid).kill()
    # Not expect, which looks once a second: the worker may be back by then.
    page.wait_for_function(NOT_LIVE)
    expect(player).to_have_attribute("data-state", "live", timeout=SHOWN_MS)
    assert fleet.statuses()[live.instance_id].pid != live.pid


def test_the_page_plays_over_webrtc_on_request(fleet: FleetUnderTest, page: Page):
    live = fleet.first_in(StreamState.LIVE).instance_id
    page.goto(f"{fleet.page}/stream?worker={live}&transport=webrtc")
    player = page.locator(".player[data-state]").first
    expect(player).to_have_attribute("data-state", "live", timeout=SHOWN_MS)
    video = page.locator("video").first
    expect(video).to_have_attribute("data-transport", "webrtc")
    wait_until_it_changes(video)
    assert video.evaluate("video => [video.videoWidth, video.srcObject !== null]") == [1280, True]
    until("it is counted", lambda: fleet.statuses()[live].stream_dedicated_clients == 1)


def test_webrtc_is_used_once_a_standby_worker_goes_live(fleet: FleetUnderTest, page: Page):
    with nobody_yields(fleet) as standby:
        page.goto(f"{fleet.page}/stream?worker={standby}&transport=webrtc")
        player = page.locator(".player[data-state]").first
        expect(player).to_have_attribute("data-state", "standby", timeout=SHOWN_MS)
        video = page.locator("video").first
        expect(video).to_have_attribute("data-transport", "mse")
    # A viewer gives it the next turn; the page then switches to WebRTC.
    expect(player).to_have_attribute("data-state", "live", timeout=SHOWN_MS)
    expect(video).to_have_attribute("data-transport", "webrtc", timeout=SHOWN_MS)
    expect(player).to_have_attribute("data-state", "live", timeout=SHOWN_MS)


def test_the_page_falls_back_to_mse_where_webrtc_is_blocked(fleet: FleetUnderTest, page: Page):
    # Like a firewall that blocks UDP: the offer is answered, and nothing follows.
    page.add_init_script("RTCPeerConnection.prototype.setRemoteDescription = async () => {}")
    live = fleet.first_in(StreamState.LIVE).instance_id
    page.goto(f"{fleet.page}/stream?worker={live}&transport=webrtc")
    player = page.locator(".player[data-state]").first
    expect(player).to_have_attribute("data-state", "live", timeout=SHOWN_MS)
    expect(page.locator("video").first).to_have_attribute("data-transport", "mse")


# Eight connections made by one page.
EIGHT = """async worker => {
  const watch = async () => {
    const connection = new RTCPeerConnection();
    connection.addTransceiver('video', { direction: 'recvonly' });
    await connection.setLocalDescription();
    const answer = await fetch(`/whep?worker=${worker}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: connection.localDescription.sdp,
    });
    if (answer.status !== 201) throw new Error(await answer.text());
    await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    return connection;
  };
  window.watched = await Promise.all(Array.from({ length: 8 }, watch));
  window.decoded = async () => Promise.all(watched.map(async connection => {
    const reports = [...(await connection.getStats()).values()];
    return reports.find(({ type }) => type === 'inbound-rtp')?.framesDecoded ?? 0;
  }));
}"""


def test_eight_webrtc_viewers_share_one_encoder(fleet: FleetUnderTest, page: Page):
    live = fleet.first_in(StreamState.LIVE)
    page.goto(f"{fleet.page}/healthz")
    opened = fleet.log(live.instance_id).count("Acquired CPU session")
    page.evaluate(EIGHT, live.instance_id)
    # Not wait_for_function, which doesn't await a promise.
    until("all decode", lambda: min(page.evaluate("decoded()")) >= 1, 60)
    until(
        "all are counted",
        lambda: fleet.statuses()[live.instance_id].stream_dedicated_clients == 8,
        60,
    )
    before, seen = fleet.statuses()[live.instance_id], sum(page.evaluate("decoded()"))
    until("all decode more", lambda: sum(page.evaluate("decoded()")) >= seen + 480, 180)
    after = fleet.statuses()[live.instance_id]
    encoded = after.frames_ok - before.frames_ok
    decoded = sum(page.evaluate("decoded()")) - seen
    assert decoded > 1.5 * encoded, "each frame is encoded once and decoded by many"
    assert fleet.log(live.instance_id).count("Acquired CPU session") == opened
    (pool,) = (
        each
        for each in http.get(f"{fleet.orchestrator}/api/sessions").json()
        if each["pool"] == "cpu"
    )
    assert pool["used"] == 1
    page.evaluate("watched.forEach(connection => connection.close())")
