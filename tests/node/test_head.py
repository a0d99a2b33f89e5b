"""The head as an agent sees it: what it refuses, and in which sentence."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Response

from metabonk.errors import StartError
from metabonk.http.app import make_http_app
from metabonk.http.errors import error_response
from metabonk.messages.fleet import Featured
from metabonk.messages.nodes import JoinRequest, NodeReport, NodeResources
from metabonk.node.head import EpochOver, Head, HeadUnreachable, Membership
from tests.support.serving import free_port, served

REQUEST = JoinRequest(
    version="1", node="a", agent="x", machine="y", port=8070, resources=NodeResources(cores=2)
)
REPORT = NodeReport(
    head="h",
    epoch=1,
    clock=0.0,
    running=[],
    statuses=[],
    featured=Featured(live=[], rotate_s=60.0, next=None, next_in_s=None),
)
MEMBERSHIP = Membership("a", "h", 1)


class Answers:
    """A head that gives one answer."""

    def __init__(self) -> None:
        self.answer = Response()
        self.app = FastAPI()
        self.app.post("/api/nodes/join")(self._give)
        self.app.post("/api/nodes/a/report")(self._give)
        self.app.get("/api/nodes/a/weights")(self._give)

    def _give(self) -> Response:
        return self.answer


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def head(answers: Answers) -> Iterator[Head]:
    with served(answers.app) as client:
        opened = Head(f"{client.base_url}/", "the-token-of-the-nodes")
        yield opened
        opened.close()


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        (401, "token_required", "refuses this token; copy its token file anew"),
        (404, "not_found", "is no head of a fleet on many machines"),
        (405, "method_not_allowed", "is no head of a fleet on many machines"),
        (409, "other_version", "refuses this node: because"),
    ],
)
def test_what_will_not_pass_ends_the_agent(
    answers: Answers, head: Head, status: int, error: str, sentence: str
):
    answers.answer = error_response(status, error, "because")
    with pytest.raises(StartError, match=sentence):
        head.join(REQUEST)


@pytest.mark.parametrize("error", ["name_in_use", "node_unreachable"])
def test_what_may_pass_is_tried_again(answers: Answers, head: Head, error: str):
    answers.answer = error_response(409, error, "because")
    with pytest.raises(HeadUnreachable, match="because"):
        head.join(REQUEST)


def test_another_program_is_no_head(answers: Answers, head: Head):
    answers.answer = Response("<html>", media_type="text/html")
    with pytest.raises(StartError, match="is no head of this version"):
        head.join(REQUEST)


def test_a_fleet_on_one_machine_is_no_head():
    with served(make_http_app("page")) as client:
        head = Head(str(client.base_url), "the-token-of-the-nodes")
        with pytest.raises(StartError, match="that was started with --nodes"):
            head.join(REQUEST)
        head.close()


def test_where_nobody_answers_it_is_tried_again():
    head = Head(f"http://127.0.0.1:{free_port()}", "the-token-of-the-nodes")
    for ask in (lambda: head.join(REQUEST), lambda: head.report(MEMBERSHIP, REPORT)):
        with pytest.raises(HeadUnreachable):
            ask()
    head.leave(MEMBERSHIP)  # Says nothing about it.
    head.close()


def test_an_address_that_is_none_is_refused():
    head = Head("http://head:port", "the-token-of-the-nodes")
    with pytest.raises(StartError, match="is no address of a head"):
        head.join(REQUEST)
    head.close()


def test_a_void_epoch_is_told_from_an_answer_that_can_be_had_later(answers: Answers, head: Head):
    answers.answer = error_response(410, "stale_epoch", "because")
    with pytest.raises(EpochOver):
        head.report(MEMBERSHIP, REPORT)
    answers.answer = error_response(503, "too_many", "because")
    with pytest.raises(HeadUnreachable, match="because"):
        head.report(MEMBERSHIP, REPORT)
    answers.answer = Response("{}", media_type="application/json")
    with pytest.raises(HeadUnreachable, match="its orders can't be read"):
        head.report(MEMBERSHIP, REPORT)


def test_the_checkpoint_of_a_fleet_that_plays_comes_as_it_is(answers: Answers, head: Head):
    answers.answer = Response(b"numbers")
    assert head.checkpoint(MEMBERSHIP) == b"numbers"
    answers.answer = error_response(503, "no_checkpoint", "because")
    with pytest.raises(HeadUnreachable, match="because"):
        head.checkpoint(MEMBERSHIP)
