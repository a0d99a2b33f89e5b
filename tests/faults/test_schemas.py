"""Requests to every route of a fleet, as its OpenAPI documents allow and forbid (schemathesis).

Every response must be documented: no 5xx, and no status, type, header or field that the document
doesn't name. The exception is 503 with ``Retry-After``: no session for a stream, or a full queue.
"""

from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.pytest.lazy import get_all_tests
from schemathesis.specs.openapi.checks import positive_data_acceptance

from metabonk.messages.workers import StreamState
from tests.support import http
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(1500)

ENDLESS = ("video/", "text/event-stream")
TIMEOUT_S = 60

FEW = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=8,
    # The same each time; more are random.
    derandomize=True,
    database=None,
)
MANY = settings(FEW, max_examples=300, derandomize=False)
"""Examples per route, in addition to those for the limits of each field."""


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def as_text(context: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetUnderTest]:
    folder = tmp_path_factory.mktemp("fleet")
    # A request for a stream may wait for its turn, which none of the broadcast's viewers speeds up.
    environment = {"METABONK_FEATURED_ROTATE_S": "3600"}
    arguments = ("--workers", "2", "--game", "doom:basic")
    with run_gameless_fleet(folder, *arguments, environment=environment, learner=True) as fleet:
        until("both workers are known", lambda: len(fleet.statuses()) == 2, 60)
        fleet.first_in(StreamState.LIVE)
        until(
            "the learner has weights",
            lambda: http.get(f"{fleet.learner}/weights").is_success,
            120,
        )
        yield fleet
        assert fleet.process.poll() is None


@pytest.mark.parametrize("process", ["worker", "orchestrator", "page", "learner"])
def test_every_response_is_documented(
    fleet: FleetUnderTest, process: str, long: bool, subtests: pytest.Subtests
):
    address = fleet.worker(0) if process == "worker" else getattr(fleet, process)
    document = schemathesis.openapi.from_url(f"{address}/openapi.json")
    effort = MANY if long else FEW
    for built in get_all_tests(schema=document, test_func=ask, settings=effort, given_kwargs=None):
        operation, test = built.ok()
        with subtests.test(operation.label):
            test()


def ask(case: Case) -> None:
    """Send the request and compare the response with the document."""
    answer = requests.request(**case.as_transport_kwargs(), stream=True, timeout=TIMEOUT_S)
    with answer:
        read(answer)
    not_checked = []
    if answer.status_code == 503 and "Retry-After" in answer.headers:
        not_checked.append(not_a_server_error)
    if case.method == "POST":
        # A well-formed body may still be meaningless.
        not_checked.append(positive_data_acceptance)
    case.validate_response(answer, excluded_checks=not_checked)


def read(answer: requests.Response) -> None:
    """Read the response; of an endless one, the beginning."""
    if answer.headers.get("Content-Type", "").startswith(ENDLESS):
        answer._content = next(answer.iter_content(None), b"")
    assert answer.content is not None
