"""A page that loses its orchestrator recovers, and a player gets a worker that is in standby."""

import signal

import pytest
from playwright.sync_api import Page, expect

from metabonk.messages.workers import StreamState
from tests.support import http
from tests.support.fleet import FleetUnderTest
from tests.support.machine_speed import SLOWNESS

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/", ".data-table"),
        ("/stream?worker=omega-0", ".stats"),
        ("/runs", ".data-table"),
    ],
)
def test_a_page_recovers_without_a_reload(fleet: FleetUnderTest, page: Page, path: str, known: str):
    notice = page.get_by_role("heading", name="Lost connection to the orchestrator")
    page.goto(f"{fleet.page}{path}")
    expect(page.locator(known).first).to_be_visible(timeout=30_000 * SLOWNESS)
    page.evaluate("window.sameDocument = true")
    fleet.process.send_signal(signal.SIGSTOP)
    try:
        expect(notice).to_be_visible(timeout=30_000 * SLOWNESS)
        expect(page.locator(known).first).to_be_visible()
    finally:
        fleet.process.send_signal(signal.SIGCONT)
    expect(notice).to_have_count(0, timeout=30_000 * SLOWNESS)
    assert page.evaluate("window.sameDocument")


def test_a_player_that_requests_a_worker_in_standby_gets_its_stream(fleet: FleetUnderTest):
    waiting = fleet.first_in(StreamState.STANDBY)
    address = f"{fleet.worker(waiting.worker_index)}/stream.ts?wait=1"
    # Not only at the next rotation, after an hour.
    with http.stream("GET", address, timeout=90) as answer:
        assert answer.status_code == 200 and next(answer.iter_raw())
