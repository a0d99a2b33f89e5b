"""The learner's routes."""

import dataclasses
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from metabonk.learner.ppo import Counters, Update
from metabonk.learner.server import RolloutQueue, WeightsStore, make_app, max_rollout_bytes
from metabonk.learner.stats import LearnerStats
from metabonk.messages import ErrorBody, LearnerStatus
from tests.support.rollouts import made_up
from tests.support.serving import served as serve
from tests.support.specs import OTHER, TINY

STEPS = 8


@dataclasses.dataclass
class Served:
    client: httpx.Client
    queue: RolloutQueue
    weights: WeightsStore
    stats: LearnerStats


@pytest.fixture
def served() -> Iterator[Served]:
    queue, weights, stats = RolloutQueue(2 * STEPS), WeightsStore(), LearnerStats()
    app = make_app(TINY, queue, weights, stats, rollout_steps=STEPS)
    with serve(app) as client:
        yield Served(client, queue, weights, stats)


def test_a_rollout_is_accepted_and_queued(served: Served):
    rollout = made_up(STEPS)
    assert served.client.post("/rollouts", content=rollout.to_bytes()).status_code == 202
    (queued,) = served.queue.take(STEPS, 0)
    assert (queued.observations == rollout.observations).all()


def test_the_largest_rollout_allowed_is_accepted_and_a_larger_one_is_not(served: Served):
    assert len(made_up(STEPS).to_bytes()) <= max_rollout_bytes(TINY, STEPS)
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
    served.weights.publish(4, b"four")
    first = served.client.get("/weights")
    assert first.content == b"four"
    tag = first.headers["ETag"]
    assert tag.startswith('"4-')
    again = served.client.get("/weights", headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert again.content == b""
    served.weights.publish(5, b"five")
    assert served.client.get("/weights", headers={"If-None-Match": tag}).content == b"five"


def test_the_same_version_of_another_learner_has_another_tag():
    one, other = WeightsStore(), WeightsStore()
    for weights in (one, other):
        weights.publish(4, b"")
    assert one.newest() != other.newest()


def test_before_the_first_weights_it_asks_for_patience(served: Served):
    answer = served.client.get("/weights")
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


def test_status_and_metrics_give_the_same_figures(served: Served):
    losses = {"value": 0.5}
    served.stats.updated(Update(64, 2, 0.5, losses), Counters(1, 64, 2, 1, 3))
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


def test_the_oldest_come_out_first_and_as_many_as_it_takes():
    queue = RolloutQueue(100)
    rollouts = [made_up(4, seed=seed) for seed in range(4)]
    assert all(queue.put(rollout) for rollout in rollouts)
    assert queue.take(6, 0) == rollouts[:2]
    assert queue.steps == 8


def test_too_few_stay_queued():
    queue = RolloutQueue(100)
    queue.put(made_up(4))
    assert queue.take(5, 0.01) == []
    assert queue.steps == 4


def test_a_full_queue_refuses_until_something_is_taken():
    queue = RolloutQueue(8)
    assert queue.put(made_up(4))
    assert queue.put(made_up(4))
    assert not queue.put(made_up(1))
    queue.take(1, 0)
    assert queue.put(made_up(4))


def test_a_full_queue_takes_a_rollout_as_soon_as_there_is_room():
    queue = RolloutQueue(4)
    queue.put(made_up(4, seed=1))
    late = made_up(4, seed=2)
    sender = threading.Thread(target=queue.put, args=(late, 10.0))
    sender.start()
    queue.take(1, 0)
    assert queue.take(1, 5.0) == [late]
    sender.join()


def test_a_rollout_larger_than_the_queue_still_fits_when_it_is_empty():
    queue = RolloutQueue(2)
    assert queue.put(made_up(4))
    assert not queue.put(made_up(1))


def test_taking_waits_for_what_comes():
    queue = RolloutQueue(100)
    sender = threading.Thread(target=lambda: [queue.put(made_up(4)) for _ in range(3)])
    sender.start()
    assert len(queue.take(12, 5.0)) == 3
    sender.join()


def test_taking_gives_up_in_time():
    began = time.monotonic()
    assert RolloutQueue(8).take(1, 0.05) == []
    assert 0.04 < time.monotonic() - began < 2
