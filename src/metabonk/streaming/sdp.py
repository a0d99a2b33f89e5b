"""Checks on a viewer's SDP offer, and what its answer must still have (RFC 8866, RFC 9429). Pure.

An offer lists addresses at which the viewer can be reached, and a server that trusts it sends
connectivity checks to any address that somebody writes there. So checks go to the address that the
offer came from and to no other; the viewer's further addresses show when its own checks arrive
(peer-reflexive candidates, RFC 8445, 7.3.1.3). That also avoids the multicast queries that the
``.local`` names of browsers would need.

Many players ask for audio too, and some open a data channel. There is neither: audio is answered as
inactive, and a data channel is rejected, without the transport that it would need.
"""

import ipaddress
import re
from collections.abc import Collection, Iterator

MAX_OFFER_BYTES = 64 << 10
"""Browsers' offers of one video take about 6 KB."""

MAX_MEDIA = 4
"""Video, and what players ask for besides."""

DATA_CHANNEL = "application"
KINDS = {"video", "audio", DATA_CHANNEL}

MEDIA_FIELDS = 4
"""Fewest fields of a media description: kind, port, protocol, format (RFC 8866, 5.14)."""

MAX_CANDIDATES = 8
PORT = re.compile(r"[0-9]{1,5}")
USER = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)
DISCARD_PORT = 9
"""Stands in for missing candidates: the viewer's own checks then connect (RFC 8840, 4.1.1)."""


class InvalidOffer(ValueError):
    """An offer that can't be answered; the message is a sentence for the viewer."""


def sanitize_offer(offer: str, viewer: str) -> str:
    """Return the offer without data channels, and with candidates at the viewer's own address only.

    Args:
        offer: SDP.
        viewer: IP address that it came from.

    Raises:
        InvalidOffer: it isn't SDP, doesn't ask for exactly one video, or has no fingerprint.
    """
    lines = offer.replace("\r\n", "\n").strip("\n").split("\n")
    if not lines[0].startswith("v=0"):
        raise InvalidOffer("the body is not an SDP offer: it doesn't begin with v=0")
    kinds = [line[2:].split(" ")[0] for line in lines if line.startswith("m=")]
    if kinds.count("video") != 1 or len(kinds) > MAX_MEDIA or set(kinds) - KINDS:
        media = ", ".join(kinds[:5]) or "nothing"
        raise InvalidOffer(f"the offer must ask for one video, but asks for {media}")
    host = _unmapped(viewer)
    head, *sections = _sections(lines)
    rejected = {_mid(section) for section in sections if _kind(section) == DATA_CHANNEL}
    kept = [_without(rejected, line) for line in head if not _is_candidate(line)]
    for section in sections:
        if _kind(section) == DATA_CHANNEL:
            if len(section[0].split(" ")) < MEDIA_FIELDS:
                raise InvalidOffer(f"{section[0][:50]!r} is no media description")
            continue
        # aiortc would only notice in a task that nobody awaits.
        if not any(line.startswith("a=fingerprint:") for line in (*head, *section)):
            raise InvalidOffer(f"{section[0][:50]!r} has no key to encrypt with (a=fingerprint)")
        kept += [line for line in section if not _is_candidate(line)]
        ports = list(dict.fromkeys(_ports(section)))[:MAX_CANDIDATES] or [DISCARD_PORT]
        kept += [
            f"a=candidate:{n} 1 udp {2**31 - n} {host} {port} typ host"
            for n, port in enumerate(ports, start=1)
        ]
        kept.append("a=end-of-candidates")
    return "\r\n".join(kept) + "\r\n"


def complete_answer(answer: str, offer: str) -> str:
    """Return the answer with a rejected section for each data channel that the offer asked for.

    An answer has as many sections as its offer, in the same order; a rejected one has port 0 and is
    in no BUNDLE group (RFC 9429, 5.3.1).

    Args:
        answer: to the sanitized offer.
        offer: accepted by ``sanitize_offer``.
    """
    _, *offered = _sections(offer.replace("\r\n", "\n").strip("\n").split("\n"))
    head, *answered = _sections(answer.replace("\r\n", "\n").strip("\n").split("\n"))
    remaining = iter(answered)
    lines = list(head)
    for section in offered:
        lines += _rejection(section) if _kind(section) == DATA_CHANNEL else next(remaining)
    return "\r\n".join(lines) + "\r\n"


def ice_users(sdp: str) -> frozenset[str]:
    """Return the user names of an SDP's ICE sessions (``a=ice-ufrag``, RFC 8839, 5.4)."""
    return frozenset(USER.findall(sdp))


def _rejection(section: list[str]) -> list[str]:
    kind, _, *rest = section[0].split(" ")
    mid = _mid(section)
    return [
        " ".join((kind, "0", *rest)),
        "c=IN IP4 0.0.0.0",
        *([f"a=mid:{mid}"] if mid is not None else []),
    ]


def _kind(section: list[str]) -> str:
    return section[0][2:].split(" ")[0]


def _mid(section: list[str]) -> str | None:
    return next((line[6:] for line in section if line.startswith("a=mid:")), None)


def _without(mids: Collection[str | None], line: str) -> str:
    """Return a line without these members, if it is a group (RFC 9143)."""
    if not line.startswith("a=group:"):
        return line
    return " ".join(word for word in line.split(" ") if word not in mids)


def _unmapped(address: str) -> str:
    """Return an IP address, as IPv4 if an IPv6 socket mapped it.

    Raises:
        InvalidOffer: it is no IP address.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise InvalidOffer(f"{address[:50]!r} is no IP address of a viewer") from None
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def _sections(lines: list[str]) -> Iterator[list[str]]:
    """Yield the session-level lines, then those of each medium."""
    section: list[str] = []
    for line in lines:
        if line.startswith("m="):
            yield section
            section = []
        section.append(line)
    yield section


def _is_candidate(line: str) -> bool:
    return line.startswith(("a=candidate:", "a=end-of-candidates"))


def _ports(section: list[str]) -> Iterator[int]:
    for line in section:
        if not line.startswith("a=candidate:"):
            continue
        # foundation, component, transport, priority, address, port (RFC 8839, 5.1)
        fields = line.split(" ")
        if len(fields) >= 6 and fields[2].lower() == "udp" and PORT.fullmatch(fields[5]):
            port = int(fields[5])
            if 1024 <= port <= 65535:
                yield port
