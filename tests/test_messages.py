"""What is said of a worker that is not as it should be."""

from metabonk.messages import StreamState, no_picture
from tests.support.statuses import status


def test_a_worker_whose_encoder_fails_is_told_with_its_reason_and_a_cure():
    problem = no_picture(status(2, stream_state=StreamState.ERROR, stream_error="no driver"))
    assert problem.message == "omega-2 has no picture: no driver"
    assert "docs/sessions.md" in problem.action
