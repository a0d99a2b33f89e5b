"""``metabonk.streaming.sdp``: which offers are accepted, and with which candidates."""

import pytest

from metabonk.streaming.sdp import (
    MAX_CANDIDATES,
    InvalidOffer,
    complete_answer,
    sanitize_offer,
)

OFFER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=fingerprint:sha-256 AB:CD
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=candidate:1 1 udp 2113937151 abc.local 54400 typ host generation 0
a=candidate:2 1 tcp 2113937151 10.0.0.9 9 typ host tcptype active
a=candidate:3 1 UDP 2113937150 8.8.8.8 53 typ host
a=candidate:4 1 udp 2113937149 8.8.8.8 33000 typ srflx raddr 0.0.0.0 rport 0
a=mid:0
a=end-of-candidates
"""


def candidates(sdp: str) -> list[list[str]]:
    lines = [line.split(" ") for line in sdp.splitlines() if line.startswith("a=candidate")]
    return [line[4:6] for line in lines]


def test_candidates_point_to_the_viewers_own_address_only():
    sanitized = sanitize_offer(OFFER, "192.168.1.7")
    assert candidates(sanitized) == [["192.168.1.7", "54400"], ["192.168.1.7", "33000"]]
    assert "8.8.8.8" not in sanitized and ".local" not in sanitized
    assert sanitized.endswith("a=end-of-candidates\r\n") and sanitized.count("a=end-of") == 1
    assert "a=mid:0\r\n" in sanitized


def test_an_offer_without_candidates_gets_a_placeholder():
    bare = "\n".join(line for line in OFFER.splitlines() if "candidate" not in line)
    assert candidates(sanitize_offer(bare, "::ffff:10.0.0.2")) == [["10.0.0.2", "9"]]


def test_the_number_of_candidates_is_limited():
    many = OFFER + "".join(
        f"a=candidate:5 1 udp 1 1.2.3.4 {5000 + n} typ host\n" for n in range(1000)
    )
    assert len(candidates(sanitize_offer(many, "127.0.0.1"))) == MAX_CANDIDATES


@pytest.mark.parametrize(
    ("offer", "says"),
    [
        ("", "v=0"),
        ("{}", "v=0"),
        ("v=0\n", "nothing"),
        ("v=0\nm=audio 9 x 0\n", "audio"),
        (OFFER + "m=video 9 x 96\n", "one video"),
        (OFFER + "m=audio 9 x 0\n" * 4, "one video"),
        ("v=0\nm=application 9 x 0\n", "application"),
        (OFFER + "m=application\n", "no media description"),
        (OFFER + "m=message 9 x 0\n", "message"),
    ],
)
def test_an_offer_of_anything_but_one_video_is_refused(offer: str, says: str):
    with pytest.raises(InvalidOffer, match=says):
        sanitize_offer(offer, "127.0.0.1")


def test_every_medium_needs_a_fingerprint_or_the_session_level_one():
    line = "a=fingerprint:sha-256 AB:CD\n"
    without = OFFER.replace(line, "")
    with pytest.raises(InvalidOffer, match="no key"):
        sanitize_offer(without, "127.0.0.1")
    assert sanitize_offer(without + line, "127.0.0.1")
    with pytest.raises(InvalidOffer, match=r"'m=audio 9 x 0' has no key"):
        sanitize_offer(without + line + "m=audio 9 x 0\n", "127.0.0.1")


def test_an_invalid_viewer_address_is_refused():
    with pytest.raises(InvalidOffer, match="no IP address"):
        sanitize_offer(OFFER, "evil.example a=")


def test_a_data_channel_is_rejected_in_its_place_and_in_no_group():
    data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:d\na=sctp-port:5000\n"
    head, video = OFFER.split("m=video")
    offer = f"{head}a=group:BUNDLE d 0\n{data}m=video{video}"
    sanitized = sanitize_offer(offer, "127.0.0.1")
    assert "application" not in sanitized and "a=group:BUNDLE 0\r\n" in sanitized
    answer = "v=0\r\na=group:BUNDLE 0\r\nm=video 5 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n"
    rejected = "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\n"
    assert complete_answer(answer, offer) == answer.replace("m=video", f"{rejected}m=video")
    assert complete_answer(answer, OFFER) == answer
