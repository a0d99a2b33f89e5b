"""Messages and what is derived from them."""

import pytest

from metabonk.messages import Counters, StreamState, no_video
from tests.support.statuses import status


def test_a_failed_encoder_is_a_problem_with_its_reason_and_an_action():
    problem = no_video(status(2, stream_state=StreamState.ERROR, stream_error="no driver"))
    assert problem.message == "omega-2 has no video: no driver"
    assert "docs/sessions.md" in problem.action


def test_counters_survive_formatting_and_parsing():
    counters = Counters(step=2**53 - 1, episode=7)
    assert Counters.parse(str(counters)) == counters


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "one,2", "1;2"])
def test_invalid_counters_are_rejected(text: str):
    with pytest.raises(ValueError):
        Counters.parse(text)
