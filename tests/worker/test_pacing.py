"""Live play keeps the stream's rate."""

import pytest

from metabonk.worker.pacing import Pacer


def test_frames_keep_their_distance():
    pacer = Pacer(fps=10)
    assert pacer.wait(100.0) == 0
    assert pacer.wait(100.02) == pytest.approx(0.08)
    assert pacer.wait(100.11) == pytest.approx(0.09)


def test_a_small_delay_is_caught_up():
    pacer = Pacer(fps=10)
    pacer.wait(100.0)
    assert pacer.wait(100.15) == 0
    assert pacer.wait(100.16) == pytest.approx(0.04)


def test_after_a_long_delay_frames_do_not_come_in_a_burst():
    pacer = Pacer(fps=10)
    pacer.wait(100.0)
    assert pacer.wait(105.0) == 0
    assert pacer.wait(105.0) == pytest.approx(0.1)
