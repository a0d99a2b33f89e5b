from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Response

from metabonk.errors import EncodingError
from metabonk.messages import LearnerStatus
from metabonk.orchestrator.state import FleetState
from metabonk.orchestrator.store import Store
from metabonk.orchestrator.watch import Watch
from metabonk.settings import Settings
from tests.orchestrator.children import until
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

    watch = Watch(state, lambda: 3)
    with served(app, state.settings.ports.learner):
        watch.start()
        until(lambda: state.fleet().learner == LEARNER)
        assert state.capacity == 3
        answers[0] = '{"pid": "rubbish"}'
        until(lambda: state.fleet().learner is None)
        assert len(asked) >= 2
    watch.close()
    assert watch.problems() == []


def test_sessions_that_cannot_be_counted_are_a_problem_and_stop_nothing(state: FleetState):
    def refuse() -> int:
        raise EncodingError("the slots are gone")

    state.set_capacity(2)
    watch = Watch(state, refuse)
    watch.start()
    until(watch.problems)
    watch.close()
    assert "the slots are gone" in watch.problems()[0].what
    assert state.capacity == 2
