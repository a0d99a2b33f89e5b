"""Settings of a fleet on many machines, and the secret that they share."""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Annotated

from pydantic import Field

from metabonk.errors import SettingsError
from metabonk.settings.section import Section

TOKEN_VARIABLE = "METABONK_TOKEN"
TOKEN_FILE = "node-token"
MIN_TOKEN_LENGTH = 16


class Nodes(Section):
    """Machines that play for a fleet, each with an agent (``metabonk join``)."""

    count: int = Field(
        0, ge=0, le=256, description="nodes that a start waits for; 0: workers play on this machine"
    )
    port: int = Field(
        8070, ge=1, le=65535, description="port of an agent for its head, or the next that is free"
    )
    ray: Annotated[str, Field(pattern=r"^(auto|(ray://)?[^\s/]+:\d+)$")] | None = Field(
        None,
        description="Ray cluster on whose machines agents are started: auto, HOST:PORT or "
        "ray://HOST:PORT; needs metabonk[ray]",
    )
    token_file: Path | None = Field(
        None,
        description="file with the secret of a fleet's nodes; default: node-token in paths.runs, "
        "made by the head",
    )


def head_token(file: Path) -> str:
    """Return the secret of the nodes, which is made if there is none.

    Args:
        file: that holds it, unless ``METABONK_TOKEN`` does.

    Raises:
        SettingsError: it is too short, or its file can't be used.
    """
    if TOKEN_VARIABLE not in os.environ:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as created:
                    created.write(f"{secrets.token_urlsafe(32)}\n".encode())
        except OSError as error:
            raise SettingsError(
                f"can't make the nodes' token in {file}: {error.strerror}; name another file with "
                f"--token-file, or set {TOKEN_VARIABLE}"
            ) from None
    return node_token(file)


def node_token(file: Path | None) -> str:
    """Return the secret of the nodes, which no process that is started from now on inherits.

    Args:
        file: that holds it, unless ``METABONK_TOKEN`` does.

    Raises:
        SettingsError: there is none, it is too short, or its file can't be read.
    """
    token, where = os.environ.pop(TOKEN_VARIABLE, None), TOKEN_VARIABLE
    if token is None:
        if file is None:
            raise SettingsError(
                f"the head's token is needed: copy its file from there and name it with "
                f"--token-file, or set {TOKEN_VARIABLE}"
            )
        where = str(file)
        try:
            token = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"can't read the nodes' token in {file}: {error}") from None
    token = token.strip()
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable():
        raise SettingsError(
            f"the nodes' token in {where} has {len(token)} characters; it must have at least "
            f"{MIN_TOKEN_LENGTH}, all of them printable ASCII"
        )
    return token
