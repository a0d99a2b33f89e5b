"""Routes of the learner and its queue of rollouts."""

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
from tests.support import serving
from tests.support.rollouts import make_rollout
from tests.support.specs import OTHER_GAME, TINY

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
    with serving.served(app) as client:
        yield Served(client, queue, weights, stats)


def test_a_rollout_is_accepted_and_queued(served: Served):
    rollout = make_rollout(STEPS)
    assert served.client.post("/rollouts", content=rollout.to_bytes()).status_code == 202
    (queued,) = served.queue.take(STEPS, 0)
    assert (queued.observations == rollout.observations).all()


def test_a_rollout_above_the_size_limit_is_rejected(served: Served):
    assert len(make_rollout(STEPS).to_bytes()) <= max_rollout_bytes(TINY, STEPS)
    answer = served.client.post("/rollouts", content=make_rollout(2 * STEPS + 16).to_bytes())
    assert answer.status_code == 413
    assert "bytes" in ErrorBody.model_validate(answer.json()).message


@pytest.mark.parametrize(
    ("content", "code", "error"),
    [
        (b"", 400, "malformed_rollout"),
        (b"not a rollout", 400, "malformed_rollout"),
        (make_rollout(STEPS).to_bytes()[:-5], 400, "malformed_rollout"),
        (make_rollout(STEPS, rewards=[float("nan")] * STEPS).to_bytes(), 400, "malformed_rollout"),
        (make_rollout(STEPS, spec=OTHER_GAME).to_bytes(), 409, "other_policy"),
    ],
)
def test_a_bad_rollout_is_rejected_with_an_error_body(
    served: Served, content: bytes, code: int, error: str
):
    answer = served.client.post("/rollouts", content=content)
    assert answer.status_code == code
    body = ErrorBody.model_validate(answer.json())
    assert body.error == error
    assert len(body.message) > 20
    assert served.queue.steps == 0


def test_a_full_queue_sends_retry_after(served: Served):
    data = make_rollout(STEPS).to_bytes()
    codes = [served.client.post("/rollouts", content=data).status_code for _ in range(3)]
    assert codes == [202, 202, 503]
    answer = served.client.post("/rollouts", content=data)
    assert int(answer.headers["Retry-After"]) >= 1
    assert ErrorBody.model_validate(answer.json()).error == "queue_full"
    served.queue.take(STEPS, 0)
    assert served.client.post("/rollouts", content=data).status_code == 202


def test_unchanged_weights_are_not_sent_again(served: Served):
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


def test_two_learners_never_share_an_etag():
    first, second = WeightsStore(), WeightsStore()
    for weights in (first, second):
        weights.publish(4, b"")
    assert first.newest() != second.newest()


def test_before_the_first_weights_retry_after_is_sent(served: Served):
    answer = served.client.get("/weights")
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


def test_status_and_metrics_agree(served: Served):
    losses = {"value": 0.5}
    served.stats.updated(Update(64, 2, 0.5, losses), Counters(1, 64, 2, 1, 3))
    served.queue.put(make_rollout(STEPS))
    status = LearnerStatus.model_validate(served.client.get("/status").json())
    assert status.steps_trained == 64
    metrics = served.client.get("/metrics").text
    assert "metabonk_learner_steps_trained 64.0" in metrics
    assert "metabonk_learner_steps_dropped 2.0" in metrics
    assert f"metabonk_learner_steps_queued {float(STEPS)}" in metrics
    assert "metabonk_learner_gradient_steps_skipped 3.0" in metrics
    assert 'metabonk_learner_loss{term="value"} 0.5' in metrics


def test_healthz_answers_ok(served: Served):
    assert served.client.get("/healthz").text == "ok\n"


def test_the_oldest_rollouts_are_taken_first_until_there_are_enough_steps():
    queue = RolloutQueue(100)
    rollouts = [make_rollout(4, seed=seed) for seed in range(4)]
    assert all(queue.put(rollout) for rollout in rollouts)
    assert queue.take(6, 0) == rollouts[:2]
    assert queue.steps == 8


def test_nothing_is_taken_while_there_are_too_few_steps():
    queue = RolloutQueue(100)
    queue.put(make_rollout(4))
    assert queue.take(5, 0.01) == []
    assert queue.steps == 4


def test_a_full_queue_rejects_rollouts_until_some_are_taken():
    queue = RolloutQueue(8)
    assert queue.put(make_rollout(4))
    assert queue.put(make_rollout(4))
    assert not queue.put(make_rollout(1))
    queue.take(1, 0)
    assert queue.put(make_rollout(4))


def test_a_waiting_rollout_is_queued_as_soon_as_there_is_room():
    queue = RolloutQueue(4)
    queue.put(make_rollout(4, seed=1))
    late = make_rollout(4, seed=2)
    sender = threading.Thread(target=queue.put, args=(late, 10.0))
    sender.start()
    queue.take(1, 0)
    assert queue.take(1, 5.0) == [late]
    sender.join()


def test_a_rollout_larger_than_the_queue_still_fits_when_it_is_empty():
    queue = RolloutQueue(2)
    assert queue.put(make_rollout(4))
    assert not queue.put(make_rollout(1))


def test_take_waits_until_there_are_enough_steps():
    queue = RolloutQueue(100)
    sender = threading.Thread(target=lambda: [queue.put(make_rollout(4)) for _ in range(3)])
    sender.start()
    assert len(queue.take(12, 5.0)) == 3
    sender.join()


def test_take_gives_up_at_its_timeout():
    began = time.monotonic()
    assert RolloutQueue(8).take(1, 0.05) == []
    assert 0.04 < time.monotonic() - began < 2
