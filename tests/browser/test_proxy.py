"""The page under a path of another origin, behind nginx, as the documentation configures it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from metabonk.messages.workers import StreamState
from tests.support.browser import open_page
from tests.support.fleet import run_gameless_fleet
from tests.support.machine_speed import SLOWNESS
from tests.support.nginx import documented_location, nginx
from tests.support.serving import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(240)


def test_every_page_and_stream_works_under_a_path(tmp_path: Path, browser: Browser):
    port = free_port()
    address = f"http://metabonk.localhost:{port}/metabonk"
    arguments = ("--workers", "1", "--public-url", address)
    variables = {"METABONK_STREAM_ADAPTIVE": "0"}
    with run_gameless_fleet(tmp_path, *arguments, environment=variables) as fleet:
        until("the worker is live", lambda: fleet.in_state(StreamState.LIVE), 90)
        page_port = int(fleet.page.rpartition(":")[2])
        with nginx(documented_location(), page_port, port, tmp_path):
            token = re.search(r"^page: (\S+)$", fleet.output.read_text(), re.M)
            assert token is not None and token[1].startswith(f"{address}/?token=")
            page = open_page(browser)
            page.goto(token[1])
            assert page.url == f"{address}/"
            page.get_by_role("rowheader").get_by_role("link", name="omega-0").click()
            expect(page).to_have_url(f"{address}/stream?worker=omega-0")
            player = page.locator(".player[data-state]").first
            expect(player).to_have_attribute("data-state", "live", timeout=60_000 * SLOWNESS)
            page.reload()
            expect(player).to_have_attribute("data-state", "live", timeout=60_000 * SLOWNESS)
            page.get_by_role("link", name="Broadcast").click()
            expect(page).to_have_url(f"{address}/neural/broadcast")
            page.context.close()
