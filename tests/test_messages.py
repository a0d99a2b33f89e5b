import pytest

from metabonk.messages import Counters, StreamState, no_video
from tests.support.statuses import status


def test_a_worker_whose_encoder_fails_is_a_problem_with_its_reason_and_a_remedy():
    problem = no_video(status(2, stream_state=StreamState.ERROR, stream_error="no driver"))
    assert problem.message == "omega-2 has no video: no driver"
    assert "docs/sessions.md" in problem.action


def test_counters_are_read_as_they_were_written():
    counters = Counters(step=2**53 - 1, episode=7)
    assert Counters.parse(str(counters)) == counters


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "one,2", "1;2"])
def test_text_that_is_not_counters_is_refused(text: str):
    with pytest.raises(ValueError):
        Counters.parse(text)
