"""Addresses in URLs, and the one under which a proxy serves the page."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

DEFAULT_PORTS = {"http": 80, "https": 443}
PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
"""Nothing that would have to be escaped in HTML, a header or a script."""


def url_host(host: str) -> str:
    """Return a host as in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def normalize(given: str) -> str:
    """Return the address as a browser writes it: without its default port or a final slash.

    Raises:
        ValueError: it is not the address of a page, and says what is.
    """
    error = ValueError(
        "must be the address of the page as a browser shows it, such as "
        "https://example.org or http://192.168.1.5:8080/metabonk"
    )
    try:
        parts = urlsplit(given)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise error from None
    path = parts.path.rstrip("/")
    if host is None or parts.scheme not in DEFAULT_PORTS or not PATH.fullmatch(path):
        raise error
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise error
    suffix = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{url_host(host)}{suffix}{path}"


PublicUrl = Annotated[str, AfterValidator(normalize)]


def split_public_url(url: str | None) -> tuple[str | None, str]:
    """Return the origin, and the path below which the page is served; empty for the whole host."""
    if url is None:
        return None, ""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path
