"""``metabonk.streaming.unpack`` against the packer, and against bytes that are something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metabonk.encoding.access_unit import AccessUnit
from metabonk.errors import WireError
from metabonk.messages.streams import EpochMessage
from metabonk.streaming import fmp4
from metabonk.streaming.gop import Epoch, Fragment, Packer
from metabonk.streaming.unpack import MOOF_SIZE, read_epoch, read_fragment
from tests.support.frames import encode_frames, regular_times


def packed() -> tuple[Epoch, list[Fragment]]:
    packer = Packer()
    packer.open_epoch(320, 180, 30)
    units = encode_frames(regular_times(4), keyframes=(2,))
    fragments = [fragment for unit in units if (fragment := packer.add(unit)[1])]
    assert packer.epoch is not None
    return packer.epoch, fragments


EPOCH, FRAGMENTS = packed()
ANNOUNCEMENT = EpochMessage(
    epoch=EPOCH.number, mime=EPOCH.parameters.mime, width=320, height=180, fps=30
)


def nal_units(unit: AccessUnit) -> list[bytes]:
    """Return what a decoder needs of a unit."""
    redundant = (fmp4.NalType.ACCESS_UNIT_DELIMITER, fmp4.NalType.FILLER)
    return [nal for nal in fmp4.nal_units(unit.data) if fmp4.nal_type(nal) not in redundant]


def test_what_was_packed_is_read_back():
    assert read_epoch(ANNOUNCEMENT, EPOCH.init) == EPOCH
    for fragment in FRAGMENTS:
        again = read_fragment(EPOCH, fragment.data, 7.0, ("a thought",))
        assert (again.data, again.decode_time) == (fragment.data, fragment.decode_time)
        assert (again.keyframe, again.thoughts) == (fragment.keyframe, ("a thought",))
        assert again.unit.captured_at == 7.0
        assert nal_units(again.unit) == nal_units(fragment.unit)


@given(st.integers(0, len(FRAGMENTS[1].data)), st.binary(max_size=20))
def test_a_fragment_that_is_cut_off_or_too_long_is_refused(cut: int, more: bytes):
    data = FRAGMENTS[1].data[:cut] + more
    if len(data) != len(FRAGMENTS[1].data):
        with pytest.raises(WireError):
            read_fragment(EPOCH, data, 0.0)


@given(st.binary(max_size=400))
def test_other_bytes_are_refused(data: bytes):
    with pytest.raises(WireError):
        read_fragment(EPOCH, data, 0.0)
    with pytest.raises(WireError):
        read_epoch(ANNOUNCEMENT, data)
    with pytest.raises(WireError):
        read_fragment(EPOCH, FRAGMENTS[1].data[:MOOF_SIZE] + data, 0.0)


@given(st.integers(0, EPOCH.init.index(b"avcC") + 10))
def test_an_init_segment_that_is_cut_off_is_refused(cut: int):
    with pytest.raises(WireError):
        read_epoch(ANNOUNCEMENT, EPOCH.init[:cut])
