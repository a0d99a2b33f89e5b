"""The page by this machine's own address, with the token, as for a viewer on another machine."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from metabonk.messages.workers import StreamState
from tests.support import http
from tests.support.browser import open_page
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.machine_speed import SLOWNESS
from tests.support.requirements import require
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(240)

HLS = "hls"
"""Folder of what goes on air, which a web server would serve."""

HLS_JS = Path(__file__).parents[2] / "web/node_modules/hls.js/dist/hls.min.js"
HLS_PAGE = """<!doctype html><video muted></video><script src="/hls.js"></script><script>
  const video = document.querySelector("video");
  const errors = [];
  const hls = new Hls();
  hls.on(Hls.Events.ERROR, (_, { fatal, details }) => fatal && errors.push(details));
  hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
  hls.loadSource("/program.m3u8");
  hls.attachMedia(video);
</script>"""

HLS_PLAYED = "video.played.length && video.played.end(0) - video.played.start(0) > 5"

HOST_PAGE, OTHER_PAGE = "http://blog.localhost:9", "http://other.localhost:9"
"""Origins of pages that show a tile; no server listens there."""

FRAMES_SHOWN = """new Promise(done => {
  const video = document.querySelector("video");
  let shown = 0;
  const next = () => ++shown === 5 ? done(video.videoWidth) : video.requestVideoFrameCallback(next);
  video.requestVideoFrameCallback(next);
})"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetUnderTest]:
    folder = tmp_path_factory.mktemp("fleet")
    arguments = ("--workers", "1", "--host", "0.0.0.0", "--air", f"hls:{folder / HLS}")
    environment = {"METABONK_STREAM_ADAPTIVE": "0", "METABONK_EMBED_ORIGINS": HOST_PAGE}
    with run_gameless_fleet(folder, *arguments, environment=environment) as fleet:
        until("the worker is live", lambda: fleet.in_state(StreamState.LIVE), 90)
        yield fleet


def printed(fleet: FleetUnderTest) -> tuple[str, str]:
    """Return address and token as the terminal shows them."""
    found = re.search(r"^page: (http://\S+)/\?token=(\S+)$", fleet.output.read_text(), re.M)
    assert found is not None
    return found[1], found[2]


@pytest.mark.parametrize("transport", ["mse", "webrtc"])
def test_the_printed_token_opens_everything(
    fleet: FleetUnderTest, browser: Browser, transport: str
):
    address, token = printed(fleet)
    page = open_page(browser)
    page.goto(f"{address}/stream?worker=omega-0&transport={transport}&token={token}")
    assert page.url == f"{address}/stream?worker=omega-0&transport={transport}"
    player = page.locator(".player[data-state]").first
    expect(player).to_have_attribute("data-state", "live", timeout=60_000 * SLOWNESS)
    expect(page.locator("video").first).to_have_attribute("data-transport", transport)
    page.wait_for_function("() => document.querySelector('video').videoWidth === 1280")
    assert page.evaluate("document.cookie") == "", "scripts can't read it"
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    page.context.close()


def test_without_the_token_a_page_says_what_to_do(fleet: FleetUnderTest, browser: Browser):
    address, _ = printed(fleet)
    page = open_page(browser)
    answer = page.goto(f"{address}/stream?worker=omega-0")
    assert answer is not None and answer.status == 401
    expect(page.get_by_text("metabonk start")).to_be_visible()
    page.context.close()


def test_a_page_of_another_origin_gets_nothing_even_with_the_cookie(
    fleet: FleetUnderTest, browser: Browser
):
    address, token = printed(fleet)
    page = open_page(browser)
    page.goto(f"{address}/?token={token}")
    # Another port of the same machine is the same site to a browser, so the cookie is sent.
    other = re.sub(r":\d+$", ":9", address)
    page.route(f"{other}/**", lambda route: route.fulfill(content_type="text/html", body="hello"))
    page.goto(f"{other}/")
    got = page.evaluate(
        """async address => {
          const stream = '/api/worker/omega-0/stream';
          const read = fetch(`${address}/workers`, { credentials: 'include' });
          const socket = new WebSocket(address.replace('http', 'ws') + stream);
          const opened = new Promise(done => {
            socket.onopen = () => done('opened');
            socket.onerror = () => done('refused');
          });
          const image = new Image();
          const shown = new Promise(done => {
            image.onload = () => done('shown');
            image.onerror = () => done('refused');
          });
          image.src = `${address}/api/worker/omega-0/snapshot.jpg`;
          return [await read.then(() => 'read', () => 'refused'), await opened, await shown];
        }""",
        address,
    )
    assert got == ["refused", "refused", "refused"]
    page.context.close()


def framed(browser: Browser, fleet: FleetUnderTest, origin: str, name: str) -> Page:
    """Open a page of another site that shows a tile; its browser has never seen the token."""
    address, token = printed(fleet)
    headers = {"Authorization": f"Bearer {token}"}
    link = http.get(f"{address}/api/embed?worker={name}", headers=headers).json()["path"]
    page = open_page(browser)
    body = f"<iframe src='{address}{link}' width=640 height=360></iframe>"
    page.route(f"{origin}/**", lambda route: route.fulfill(content_type="text/html", body=body))
    page.goto(f"{origin}/")
    return page


@pytest.mark.parametrize("name", ["omega-0", "program"])
def test_a_page_of_a_chosen_origin_shows_a_tile_whose_picture_moves(
    fleet: FleetUnderTest, browser: Browser, name: str
):
    page = framed(browser, fleet, HOST_PAGE, name)
    tile = page.frame_locator("iframe")
    player = tile.locator(".player")
    expect(player).to_have_attribute("data-state", "live", timeout=60_000 * SLOWNESS)
    assert page.frames[1].evaluate(FRAMES_SHOWN) == 1280
    assert page.context.cookies() == []
    page.context.close()


def test_a_page_of_another_origin_shows_no_tile(fleet: FleetUnderTest, browser: Browser):
    refusals: list[str] = []
    page = framed(browser, fleet, OTHER_PAGE, "omega-0")
    page.on("console", lambda message: refusals.append(message.text))
    page.reload()
    until("the browser refuses", lambda: page.wait_for_timeout(50) or refusals, 10)
    assert "frame-ancestors" in refusals[0]
    expect(page.frame_locator("iframe").locator(".player")).to_have_count(0)
    page.context.close()


def test_what_goes_on_air_as_hls_plays_through_hls_js(fleet: FleetUnderTest, browser: Browser):
    script = require(HLS_JS if HLS_JS.is_file() else None, "web/node_modules/hls.js", apt="npm")
    folder = fleet.folder / HLS
    until("there is a playlist", (folder / "program.m3u8").is_file, 60)

    def serve(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        file = script if name == "hls.js" else folder / name
        if not name:
            route.fulfill(content_type="text/html", body=HLS_PAGE)
        elif file.is_file():
            route.fulfill(path=file)
        else:
            route.fulfill(status=404)

    page = open_page(browser)
    page.route(f"{HOST_PAGE}/**", serve)
    page.goto(f"{HOST_PAGE}/")
    # More than one segment, which is two seconds.
    page.wait_for_function(HLS_PLAYED, timeout=60_000 * SLOWNESS)
    assert page.evaluate("[video.videoWidth, errors]") == [1280, []]
    page.context.close()
