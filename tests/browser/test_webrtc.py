"""WebRTC between a real server with a real encoder and Chromium."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.stage import Stage, stage

WATCH = """async count => {
  const watch = async () => {
    const connection = new RTCPeerConnection();
    connection.addTransceiver('video', { direction: 'recvonly' });
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
    page = browser.new_page()
    page.goto(f"{staged.http}/snapshot.jpg")
    yield page
    page.close()


@pytest.mark.parametrize("viewers", [1, 8])
def test_chromium_decodes_the_stream_of_one_encoder(staged: Stage, page: Page, viewers: int):
    page.evaluate(WATCH, viewers)
    page.wait_for_function(f"async () => (await ({DECODED})()).every(([frames]) => frames > 0)")
    staged.wait_for_clients(viewers)
    encoded, before = staged.frames, page.evaluate(DECODED)
    page.wait_for_timeout(2000)
    encoded, after = staged.frames - encoded, page.evaluate(DECODED)
    for (was, _), (decoded, width) in zip(before, after, strict=True):
        assert width == 320
        assert decoded - was >= 0.5 * encoded, "each viewer gets the frames of the one encoder"
    page.evaluate("watched.forEach(({ connection }) => connection.close())")
    staged.wait_for_clients(0)


def test_delete_disconnects_chromium(staged: Stage, page: Page):
    page.evaluate(WATCH, 1)
    page.wait_for_function(f"async () => (await ({DECODED})())[0][0] > 0")
    page.evaluate("async () => fetch(watched[0].location, { method: 'DELETE' })")
    page.wait_for_function("() => watched[0].connection.connectionState !== 'connected'")
    staged.wait_for_clients(0)
