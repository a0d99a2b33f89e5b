"""The learner's routes."""

import dataclasses
from collections.abc import Iterator

import httpx
import pytest

from metabonk.learner.appo import Counters, Update
from metabonk.learner.figures import Figures
from metabonk.learner.http import Shelf, largest_rollout, make_app
from metabonk.learner.queue import RolloutQueue
from metabonk.messages import ErrorBody, LearnerStatus
from tests.learner.rollouts import made_up
from tests.policy.specs import OTHER, TINY
from tests.serving import served as serve

STEPS = 8


@dataclasses.dataclass
class Served:
    client: httpx.Client
    queue: RolloutQueue
    shelf: Shelf
    figures: Figures


@pytest.fixture
def served() -> Iterator[Served]:
    queue, shelf, figures = RolloutQueue(2 * STEPS), Shelf(), Figures()
    app = make_app(TINY, queue, shelf, figures, rollout_steps=STEPS)
    with serve(app) as client:
        yield Served(client, queue, shelf, figures)


def test_a_rollout_is_accepted_and_queued(served: Served):
    rollout = made_up(STEPS)
    assert served.client.post("/rollouts", content=rollout.to_bytes()).status_code == 202
    (queued,) = served.queue.take(STEPS, 0)
    assert (queued.observations == rollout.observations).all()


def test_the_largest_rollout_allowed_is_accepted_and_a_larger_one_is_not(served: Served):
    assert len(made_up(STEPS).to_bytes()) <= largest_rollout(TINY, STEPS)
    answer = served.client.post("/rollouts", content=made_up(2 * STEPS + 16).to_bytes())
    assert answer.status_code == 413
    assert "bytes" in ErrorBody.model_validate(answer.json()).message


@pytest.mark.parametrize(
    ("content", "code", "error"),
    [
        (b"", 400, "malformed_rollout"),
        (b"not a rollout", 400, "malformed_rollout"),
        (made_up(STEPS).to_bytes()[:-5], 400, "malformed_rollout"),
        (made_up(STEPS, rewards=[float("nan")] * STEPS).to_bytes(), 400, "malformed_rollout"),
        (made_up(STEPS, spec=OTHER).to_bytes(), 409, "other_policy"),
    ],
)
def test_a_bad_rollout_is_refused_in_a_sentence(
    served: Served, content: bytes, code: int, error: str
):
    answer = served.client.post("/rollouts", content=content)
    assert answer.status_code == code
    body = ErrorBody.model_validate(answer.json())
    assert body.error == error
    assert len(body.message) > 20
    assert served.queue.steps == 0


def test_a_full_queue_says_when_to_come_back(served: Served):
    data = made_up(STEPS).to_bytes()
    codes = [served.client.post("/rollouts", content=data).status_code for _ in range(3)]
    assert codes == [202, 202, 503]
    answer = served.client.post("/rollouts", content=data)
    assert int(answer.headers["Retry-After"]) >= 1
    assert ErrorBody.model_validate(answer.json()).error == "queue_full"
    served.queue.take(STEPS, 0)
    assert served.client.post("/rollouts", content=data).status_code == 202


def test_weights_come_once_for_each_version(served: Served):
    served.shelf.publish(4, b"four")
    first = served.client.get("/weights")
    assert first.content == b"four"
    tag = first.headers["ETag"]
    assert tag.startswith('"4-')
    again = served.client.get("/weights", headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert again.content == b""
    served.shelf.publish(5, b"five")
    assert served.client.get("/weights", headers={"If-None-Match": tag}).content == b"five"


def test_the_same_version_of_another_learner_has_another_tag():
    one, other = Shelf(), Shelf()
    for shelf in (one, other):
        shelf.publish(4, b"")
    assert one.newest() != other.newest()


def test_before_the_first_weights_it_asks_for_patience(served: Served):
    answer = served.client.get("/weights")
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


def test_status_and_metrics_give_the_same_figures(served: Served):
    losses = {"value": 0.5}
    served.figures.updated(Update(64, 2, 0.5, losses), Counters(1, 64, 2, 1, 3))
    served.queue.put(made_up(STEPS))
    status = LearnerStatus.model_validate(served.client.get("/status").json())
    assert status.steps_trained == 64
    metrics = served.client.get("/metrics").text
    assert "metabonk_learner_steps_trained 64.0" in metrics
    assert "metabonk_learner_steps_dropped 2.0" in metrics
    assert f"metabonk_learner_steps_queued {float(STEPS)}" in metrics
    assert "metabonk_learner_gradient_steps_skipped 3.0" in metrics
    assert 'metabonk_learner_loss{term="value"} 0.5' in metrics


def test_it_says_that_it_lives(served: Served):
    assert served.client.get("/healthz").text == "ok\n"
