"""Settings of what goes on air."""

from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from metabonk.settings.section import Section

HLS, WHIP = "hls:", "whip+"
EXAMPLES = "rtmp://live.example.org/app, whip+https://example.org/whip or hls:/var/www/live"
KEY_HINT = (
    "the key comes from METABONK_AIR_KEY or air.key_file and is appended, as addresses are shown "
    "to viewers and in the process list"
)


def _checked(address: str) -> str:
    """Return an address that can be shown."""
    if address.startswith(HLS):
        if not address.removeprefix(HLS):
            raise ValueError(f"must name a folder, as in {EXAMPLES}")
        return address
    parts = _split(address)
    schemes = ("http", "https") if address.startswith(WHIP) else ("rtmp", "rtmps")
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"must be an address such as {EXAMPLES}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"must contain no user, password or query: {KEY_HINT}")
    return address


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address.removeprefix(WHIP))
        _ = parts.port  # Raises if it is no number.
    except ValueError:
        return None
    return parts


class Air(Section):
    """Going on air: the program, sent to one server or written to one folder."""

    to: Annotated[str, AfterValidator(_checked)] | None = Field(
        None,
        description="where to, from the start on, as with --air: rtmp://, rtmps://, whip+https:// "
        "or hls:FOLDER; without a key in it",
    )
    key: SecretStr | None = Field(
        None,
        min_length=1,
        exclude=True,
        description="stream key; the last part of an RTMP address, the bearer token of WHIP",
    )
    key_file: Path | None = Field(None, description="file that holds the key instead")

    @property
    def has_bare_key(self) -> bool:
        """True if the address of a server seems to end with a key."""
        if self.to is None or self.to.startswith((HLS, WHIP)):
            return False
        is_given = self.key is not None or self.key_file is not None
        return not is_given and len(urlsplit(self.to).path.strip("/").split("/")) > 1
