"""Inspection of the web page, as a browser loads it."""

import subprocess
from html.parser import HTMLParser

import httpx
from pydantic import SecretStr

from metabonk.doctor.browser import find_browser, rendered_text
from metabonk.validation.observations import PageObservation


def inspect_page(client: httpx.Client, url: str, token: SecretStr | None) -> PageObservation:
    """Load the page and the files it needs, and run it in a browser where there is one.

    Args:
        client: sends the requests.
        url: of the page.
        token: of a page that is served beyond this machine.
    """
    if token is not None:
        client.headers["Authorization"] = f"Bearer {token.get_secret_value()}"
    try:
        answer = client.get(f"{url}/")
        if answer.status_code != 200:
            return PageObservation(answer.status_code)
        assets = _Assets()
        assets.feed(answer.text)
        broken = [asset for asset in assets.found if client.get(f"{url}{asset}").status_code != 200]
    except httpx.HTTPError:
        return PageObservation(None)
    # On a browser's command line the token would be visible to other users.
    text = None if token is not None else _browser_text(f"{url}/")
    return PageObservation(200, tuple(broken), text)


class _Assets(HTMLParser):
    """Collector of the files that the page loads from its own server."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attribute = {"script": "src", "link": "href"}.get(tag)
        value = dict(attrs).get(attribute) if attribute else None
        if value and value.startswith("/"):
            self.found.append(value)


def _browser_text(url: str) -> str | None:
    """Return the page's text in a headless browser; None if none can be run."""
    browser = find_browser()
    if browser is None:
        return None
    try:
        return rendered_text(browser, url)
    except (OSError, subprocess.SubprocessError):
        return None
