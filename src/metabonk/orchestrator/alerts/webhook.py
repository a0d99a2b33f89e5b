"""Incidents in the form that a webhook takes, by its address. Pure."""

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from metabonk.messages.alerts import Incident, Severity


@dataclass(frozen=True, slots=True)
class Post:
    """A request.

    Attributes:
        content: its body.
        headers: likewise.
    """

    content: bytes
    headers: dict[str, str]


def post_of(address: str, incident: Incident, run: str) -> Post:
    """Return the request that tells a webhook of an incident.

    Args:
        address: of the webhook: Slack's and Discord's hosts, and hosts named ntfy, get what they
            understand; all others the incident as JSON, with the run.
        incident: that has begun.
        run: its name.
    """
    host = urlsplit(address).hostname or ""
    text = f"{incident.message}. {incident.action} ({run})"
    if host == "hooks.slack.com":
        return _json({"text": f"{_mark(incident)} MetaBonk: {text}"})
    if host.removeprefix("ptb.").removeprefix("canary.") in ("discord.com", "discordapp.com"):
        # Nobody's name in it is called.
        content = f"{_mark(incident)} MetaBonk: {text}"
        return _json({"content": content, "allowed_mentions": {"parse": []}})
    if host.split(".")[0] == "ntfy":
        urgent = incident.severity is Severity.CRITICAL
        return Post(
            text.encode(),
            {"Title": "MetaBonk", "Priority": "urgent" if urgent else "default", "Tags": "warning"},
        )
    return _json({**incident.model_dump(mode="json"), "run": run})


def _mark(incident: Incident) -> str:
    return "🔴" if incident.severity is Severity.CRITICAL else "🟠"


def _json(content: object) -> Post:
    return Post(json.dumps(content).encode(), {"Content-Type": "application/json"})
