"""The page by this machine's own address, with the token, as for a viewer on another machine."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from metabonk.messages import StreamState
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetUnderTest]:
    folder = tmp_path_factory.mktemp("fleet")
    arguments = ("--workers", "1", "--host", "0.0.0.0")
    with run_gameless_fleet(
        folder, *arguments, environment={"METABONK_STREAM_ADAPTIVE": "0"}
    ) as fleet:
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
    page = browser.new_context().new_page()
    page.goto(f"{address}/stream?worker=omega-0&transport={transport}&token={token}")
    assert page.url == f"{address}/stream?worker=omega-0&transport={transport}"
    player = page.locator(".player[data-state]").first
    expect(player).to_have_attribute("data-state", "live", timeout=60_000)
    expect(page.locator("video").first).to_have_attribute("data-transport", transport)
    page.wait_for_function("() => document.querySelector('video').videoWidth === 1280")
    assert page.evaluate("document.cookie") == "", "scripts can't read it"
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    page.context.close()


def test_without_the_token_a_page_says_what_to_do(fleet: FleetUnderTest, browser: Browser):
    address, _ = printed(fleet)
    page = browser.new_context().new_page()
    answer = page.goto(f"{address}/stream?worker=omega-0")
    assert answer is not None and answer.status == 401
    expect(page.get_by_text("metabonk start")).to_be_visible()
    page.context.close()


def test_a_page_of_another_origin_gets_nothing_even_with_the_cookie(
    fleet: FleetUnderTest, browser: Browser
):
    address, token = printed(fleet)
    page = browser.new_context().new_page()
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
