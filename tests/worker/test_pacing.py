"""Live play keeps the stream's rate."""

import pytest

from metabonk.worker.pacing import Pacer


def test_frames_keep_their_distance_however_long_they_take_to_draw():
    pacer = Pacer(fps=10)
    assert pacer.wait(100.0) == pytest.approx(0.1)
    assert pacer.wait(100.12) == pytest.approx(0.08)
    assert pacer.wait(100.21) == pytest.approx(0.09)


def test_a_small_delay_is_caught_up():
    pacer = Pacer(fps=10)
    pacer.wait(100.0)
    assert pacer.wait(100.19) == pytest.approx(0.01)
    assert pacer.wait(100.21) == pytest.approx(0.09)


def test_after_a_long_delay_frames_do_not_come_in_a_burst():
    pacer = Pacer(fps=10)
    pacer.wait(100.0)
    assert pacer.wait(105.0) == pytest.approx(0.1)
    assert pacer.wait(105.1) == pytest.approx(0.1)
