import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Response

from metabonk.encoding.capacity import Capacity
from metabonk.errors import EncodingError
from metabonk.messages import Heartbeat, LearnerStatus, Problem
from metabonk.orchestrator.state import FleetState
from metabonk.orchestrator.store import Store
from metabonk.orchestrator.watch import HUNG_AFTER_S, Watch
from metabonk.settings import Settings
from tests.orchestrator.children import until
from tests.orchestrator.statuses import status
from tests.serving import free_port, served

LEARNER = LearnerStatus(
    pid=1, uptime_s=1, policy_version=2, steps_trained=3, steps_per_s=4, steps_dropped=0,
    updates=5, policy_lag=0.5,
)  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> Iterator[FleetState]:
    store = Store(tmp_path, "doom:basic")
    paths = {"runs": tmp_path}
    yield FleetState(
        Settings.model_validate({"ports": {"learner": free_port()}, "paths": paths}), "run", store
    )
    store.close()


def test_capacity_and_the_learner_are_asked_for_and_one_that_is_silent_is_none(state: FleetState):
    app = FastAPI()
    answers = [LEARNER.model_dump_json()]
    asked = []

    @app.get("/status")
    def status() -> Response:
        asked.append(1)
        return Response(answers[0], media_type="application/json")

    watch = Watch(state, lambda: Capacity(cpu=3))
    with served(app, state.settings.ports.learner):
        watch.start()
        until(lambda: state.fleet().learner == LEARNER)
        assert state.capacity.total == 3
        answers[0] = '{"pid": "rubbish"}'
        until(lambda: state.fleet().learner is None)
        assert len(asked) >= 2
    watch.close()
    assert watch.problems() == []


def test_what_is_seen_at_a_glance_is_a_problem_until_it_is_mended(state: FleetState):
    seen = [Problem(what="little disk", do="free some")]
    watch = Watch(state, lambda: 3, lambda: list(seen))
    watch.start()
    until(lambda: watch.problems() == seen != [])
    seen.clear()
    until(lambda: watch.problems() == [])
    watch.close()


def test_sessions_that_cannot_be_counted_are_a_problem_and_stop_nothing(state: FleetState):
    def refuse() -> Capacity:
        raise EncodingError("the slots are gone")

    state.set_capacity(Capacity(cpu=2))
    watch = Watch(state, refuse)
    watch.start()
    until(watch.problems)
    watch.close()
    assert "the slots are gone" in watch.problems()[0].what
    assert state.capacity.total == 2


def test_a_silent_worker_hangs_only_if_it_does_not_answer_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    now = 0.0
    app = FastAPI()

    @app.get("/healthz")
    def health() -> str:
        return "ok"

    port = free_port()
    paths = {"runs": tmp_path}
    settings = Settings.model_validate(
        {"ports": {"worker": port, "learner": free_port()}, "paths": paths}
    )
    store = Store(tmp_path, "doom:basic")
    state = FleetState(settings, "run", store, clock=lambda: now)
    state.heartbeat(Heartbeat(status=status(0), episodes=[]))
    watch = Watch(state, lambda: Capacity(cpu=1))
    monkeypatch.setattr("metabonk.orchestrator.watch.INTERVAL_S", 0.02)
    with served(app, port):
        watch.start()
        now = HUNG_AFTER_S + 1
        time.sleep(0.3)
        assert watch.hung() == {}
    until(watch.hung)
    assert watch.hung() == {"omega-0": HUNG_AFTER_S + 1}
    state.heartbeat(Heartbeat(status=status(0), episodes=[]))
    until(lambda: not watch.hung())
    watch.close()
    store.close()
