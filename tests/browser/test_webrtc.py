"""WebRTC between a real server with a real encoder and Chromium."""

from collections.abc import Iterator
from operator import sub
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import open_page
from tests.support.requirements import require
from tests.support.stage import Stage, stage
from tests.support.waiting import until

MODULES = Path(__file__).parents[2] / "web/node_modules"

WATCH = """async ([count, more]) => {
  const watch = async () => {
    const connection = new RTCPeerConnection();
    connection.addTransceiver('video', { direction: 'recvonly' });
    if (more) {
      connection.addTransceiver('audio', { direction: 'recvonly' });
      connection.createDataChannel('');
    }
    await connection.setLocalDescription();
    const answer = await fetch('/whep', {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: connection.localDescription.sdp,
    });
    if (answer.status !== 201) throw new Error(await answer.text());
    await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    return { connection, location: answer.headers.get('Location') };
  };
  window.watched = await Promise.all(Array.from({ length: count }, watch));
}"""

DECODED = """async () => Promise.all(watched.map(async ({ connection }) => {
  const report = [...(await connection.getStats()).values()].find(
    each => each.type === 'inbound-rtp',
  );
  return [report?.framesDecoded ?? 0, report?.frameWidth ?? 0];
}))"""


@pytest.fixture(scope="module")
def staged() -> Iterator[Stage]:
    with stage() as opened:
        opened.go_live()
        yield opened


@pytest.fixture
def page(staged: Stage, browser: Browser) -> Iterator[Page]:
    page = open_page(browser)
    page.goto(f"{staged.http}/snapshot.jpg")
    yield page
    page.close()


def wait_until_decoded(page: Page) -> None:
    # Not wait_for_function, which doesn't await a promise.
    until("every viewer decodes", lambda: all(frames > 0 for frames, _ in page.evaluate(DECODED)))


def frames_of(page: Page) -> list[int]:
    """Return how many frames each viewer has decoded."""
    return [frames for frames, _ in page.evaluate(DECODED)]


@pytest.mark.parametrize("viewers", [1, 8])
def test_chromium_decodes_the_stream_of_one_encoder(staged: Stage, page: Page, viewers: int):
    page.evaluate(WATCH, [viewers, False])
    wait_until_decoded(page)
    staged.wait_for_clients(viewers)
    encoded, before = staged.frames, frames_of(page)
    until("all decode more", lambda: min(map(sub, frames_of(page), before)) >= 60, 60)
    encoded, decoded = staged.frames - encoded, sum(map(sub, frames_of(page), before))
    assert decoded >= 0.25 * viewers * encoded, "each viewer gets the frames of the one encoder"
    assert {width for _, width in page.evaluate(DECODED)} == {320}
    page.evaluate("watched.forEach(({ connection }) => connection.close())")
    staged.wait_for_clients(0)


def test_delete_disconnects_chromium(staged: Stage, page: Page):
    page.evaluate(WATCH, [1, False])
    wait_until_decoded(page)
    page.evaluate("async () => fetch(watched[0].location, { method: 'DELETE' })")
    page.wait_for_function("() => watched[0].connection.connectionState !== 'connected'")
    staged.wait_for_clients(0)


def test_chromium_decodes_it_too_if_it_asks_for_audio_and_data(staged: Stage, page: Page):
    page.evaluate(WATCH, [1, True])
    wait_until_decoded(page)
    page.evaluate("watched[0].connection.close()")
    staged.wait_for_clients(0)


PLAY = """async ([player, events]) => {
  const load = (text, required) => {
    const module = { exports: {} };
    new Function('module', 'exports', 'require', text)(module, module.exports, required);
    return module.exports;
  };
  const emitter = load(events, () => ({}));
  // The others are for advertisements and for another protocol.
  const { WebRTCPlayer } = load(player, name => (name === 'events' ? emitter : {}));
  const video = document.body.appendChild(document.createElement('video'));
  video.muted = video.autoplay = true;
  window.player = new WebRTCPlayer({ video, type: 'whep', iceServers: [] });
  await window.player.load(new URL('/whep', location.href));
}"""


def test_the_player_of_somebody_else_plays_it(staged: Stage, page: Page):
    found = MODULES / "@eyevinn/webrtc-player/dist/main.js"
    player = require(found if found.is_file() else None, f"{found.parent}", apt="npm")
    page.evaluate(PLAY, [player.read_text(), (MODULES / "events/events.js").read_text()])
    page.wait_for_function("() => document.querySelector('video').videoWidth === 320")
    staged.wait_for_clients(1)
    page.evaluate("() => window.player.unload()")
    staged.wait_for_clients(0)
