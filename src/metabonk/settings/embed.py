"""Settings of tiles that pages elsewhere embed."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from metabonk.settings.public_url import normalize
from metabonk.settings.section import Section


def _split(given: object) -> object:
    """Accept a list, as in TOML, or a comma-separated string, as in the environment."""
    return given.split(",") if isinstance(given, str) else given


def _origin(given: str) -> str:
    """Return an origin as a browser writes it."""
    error = f"must be an origin such as https://example.org or http://localhost:8000, not {given!r}"
    try:
        origin = normalize(given.strip())
    except ValueError:
        raise ValueError(error) from None
    if urlsplit(origin).path:
        raise ValueError(f"{error}: without a path")
    return origin


class Embed(Section):
    """Tiles of the page that pages elsewhere show in a frame: a stream each, and no more."""

    origins: Annotated[
        tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_split)
    ] = Field(
        (),
        max_length=32,
        description="origins of the pages that may embed a tile, such as https://example.org; "
        "default: none",
    )
