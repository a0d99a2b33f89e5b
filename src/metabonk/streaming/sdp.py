"""What is taken of a viewer's SDP offer (RFC 8866, RFC 8829), and what is refused. Pure.

An offer says where the viewer can be reached, and a server that believes it sends connectivity
checks to any address on earth that somebody writes there. So the checks go to the address that the
offer itself came from and to no other; what else the viewer can be reached at shows when its own
checks arrive (peer-reflexive candidates, RFC 8445, 7.3.1.3). That also does without the multicast
questions that the ``.local`` names of browsers would need.
"""

import ipaddress
import re
from collections.abc import Iterator

MOST_SECTIONS = 2
"""Video and the sound that many players ask for in any case."""

MOST_CANDIDATES = 8
PORT = re.compile(r"[0-9]{1,5}")
DISCARD_PORT = 9
"""Where an offer names no candidate: the viewer's own checks are waited for (RFC 8840, 4.1.1)."""


class InvalidOffer(ValueError):
    """An offer that can't be answered; the message is a sentence for the viewer."""


def take(offer: str, viewer: str) -> str:
    """The offer as it is answered, with candidates at the viewer's own address only.

    Args:
        offer: SDP.
        viewer: IP address that it came from.

    Raises:
        OfferRefused: it isn't SDP, doesn't ask for one video, or names no key.
    """
    lines = offer.replace("\r\n", "\n").strip("\n").split("\n")
    if not lines[0].startswith("v=0"):
        raise InvalidOffer("the body is no SDP offer: it doesn't begin with v=0")
    kinds = [line[2:].split(" ")[0] for line in lines if line.startswith("m=")]
    if kinds.count("video") != 1 or len(kinds) > MOST_SECTIONS or set(kinds) - {"video", "audio"}:
        asked = ", ".join(kinds[:5]) or "nothing"
        raise InvalidOffer(f"the offer has to ask for one video, and asks for {asked}")
    host = _plain(viewer)
    head, *sections = _sections(lines)
    taken = [line for line in head if not _is_candidate(line)]
    for section in sections:
        # aiortc would find that out in a task that nobody waits for.
        if not any(line.startswith("a=fingerprint:") for line in (*head, *section)):
            raise InvalidOffer(f"{section[0][:50]!r} has no key to encrypt with (a=fingerprint)")
        taken += [line for line in section if not _is_candidate(line)]
        ports = list(dict.fromkeys(_ports(section)))[:MOST_CANDIDATES] or [DISCARD_PORT]
        taken += [
            f"a=candidate:{n} 1 udp {2**31 - n} {host} {port} typ host"
            for n, port in enumerate(ports, start=1)
        ]
        taken.append("a=end-of-candidates")
    return "\r\n".join(taken) + "\r\n"


def _plain(address: str) -> str:
    """IPv4 where an IPv6 socket wraps it.

    Raises:
        OfferRefused: it is no address.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise InvalidOffer(f"{address[:50]!r} is no IP address of a viewer") from None
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def _sections(lines: list[str]) -> Iterator[list[str]]:
    """The session's lines, then those of each medium."""
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
