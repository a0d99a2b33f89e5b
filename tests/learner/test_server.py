"""Routes of the learner and its queue of rollouts."""

import asyncio
import dataclasses
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import torch

from metabonk.http.weights import WeightsStore
from metabonk.learner.ppo import Counters, Update
from metabonk.learner.rollouts import RolloutQueue, max_rollout_bytes
from metabonk.learner.server import make_app
from metabonk.learner.stats import LearnerStats
from metabonk.messages.base import ErrorBody
from metabonk.messages.learner import LearnerStatus
from tests.support import serving
from tests.support.rollouts import make_rollout
from tests.support.specs import OTHER_GAME, TINY
from tests.support.waiting import GENEROUS_S, until

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
    app = make_app(TINY, queue, weights, stats, rollout_steps=STEPS, device=torch.device("cpu"))
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


def test_a_request_is_held_until_there_are_newer_weights(served: Served):
    held = {"params": {"wait": 60}, "timeout": 60}
    for version in (4, 5):
        tag = (served.weights.newest() or ("",))[0]
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(
                served.client.get, "/weights", headers={"If-None-Match": tag}, **held
            )
            until("it waits", lambda: served.weights.waiting == 1)
            served.weights.publish(version, b"%d" % version)
            assert answer.result().content == b"%d" % version
    assert served.client.get("/weights", **held).content == b"5", "nobody waits for what is there"
    assert served.weights.waiting == 0


def test_a_held_request_is_answered_when_its_time_is_up(served: Served):
    served.weights.publish(4, b"four")
    headers = {"If-None-Match": served.client.get("/weights").headers["ETag"]}
    began = time.monotonic()
    answer = served.client.get("/weights", params={"wait": 0.2}, headers=headers)
    assert answer.status_code == 304
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "long"])
def test_a_wait_out_of_range_is_refused(served: Served, wait: str):
    answer = served.client.get("/weights", params={"wait": wait})
    assert answer.status_code == 422
    assert "wait" in ErrorBody.model_validate(answer.json()).message


def test_workers_that_wait_delay_nobody_and_nobody_waits_for_a_learner_that_ends(
    served: Served, caplog: pytest.LogCaptureFixture
):
    served.weights.publish(4, b"four")
    headers = {"If-None-Match": served.client.get("/weights").headers["ETag"]}

    async def wait_together() -> list[int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=served.client.base_url, limits=limits, timeout=GENEROUS_S
        ) as client:
            url, params = "/weights", {"wait": 60}
            asked = (client.get(url, params=params, headers=headers, timeout=60) for _ in range(64))
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    with ThreadPoolExecutor() as pool:
        codes = pool.submit(asyncio.run, wait_together())
        until("all wait", lambda: served.weights.waiting == 64)
        rollout = make_rollout(STEPS).to_bytes()
        assert served.client.post("/rollouts", content=rollout).status_code == 202
        served.weights.close()
        assert codes.result() == [304] * 64
    late = served.client.get("/weights", params={"wait": 60}, headers=headers, timeout=10)
    assert late.status_code == 304


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
    served.stats.updated(Update(64, 2, 0.5, losses), Counters(1, 64, 2, 1, 3), 0.0)
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
