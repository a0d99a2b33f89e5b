"""The page and validation say the same of a worker."""

import pytest

from metabonk.messages import StreamState
from metabonk.problems import without_picture
from tests.orchestrator.statuses import status


def test_a_broken_encoder_is_told_with_its_reason():
    problem = without_picture(status(2, stream_state=StreamState.ERROR, stream_error="no driver"))
    assert problem is not None
    assert problem.what == "omega-2 has no picture: no driver"
    assert "docs/sessions.md" in problem.do


@pytest.mark.parametrize("state", [StreamState.LIVE, StreamState.STARTING, StreamState.STANDBY])
def test_every_other_state_is_as_it_is_meant(state: StreamState):
    assert without_picture(status(stream_state=state)) is None
