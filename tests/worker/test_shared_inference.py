"""A worker's connection to an inference server that comes, goes and hangs."""

import contextlib
import logging
from collections.abc import Iterator

import numpy as np
import pytest

from metabonk.policy import inference_socket
from metabonk.policy.forward import Forward
from metabonk.system import contact
from metabonk.worker import shared_inference
from metabonk.worker.shared_inference import SharedInference
from tests.support.inference import Serving, observations, states
from tests.support.specs import TINY
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_inference, "RETRY_S", 0.02)
    monkeypatch.setattr(contact, "START_S", 0.0)


@pytest.fixture
def server() -> Iterator[Serving]:
    made = Serving(TINY)
    yield made
    made.close()


def ask(shared: SharedInference) -> Forward | None:
    (lane,) = shared.lanes
    lane.request(observations(TINY, 2), states(TINY, 2))
    return lane.answer()


def test_until_there_is_a_server_the_worker_decides_itself(server: Serving):
    server.refusal = "the learner has sent no weights yet"
    with contextlib.closing(SharedInference(server.name, TINY, 2, 1)) as shared:
        shared.start()
        assert ask(shared) is None
        server.refusal = None
        until("it is connected", lambda: shared.is_connected)
        answer = ask(shared)
        assert answer is not None and answer.version == 3
        assert answer.values.dtype == np.float32


def test_a_server_that_ends_is_missed_once_and_found_again(
    server: Serving, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    with contextlib.closing(SharedInference(server.name, TINY, 2, 1)) as shared:
        shared.start()
        until("it is connected", lambda: shared.is_connected)
        server.close()
        assert ask(shared) is None and ask(shared) is None
        assert not shared.is_connected
        until("it is missed", lambda: "does not answer" in caplog.text)
        assert caplog.text.count("this worker decides by itself") == 1
        successor = Serving(TINY, server.name)
        try:
            until("it is connected again", lambda: shared.is_connected)
            assert ask(shared) is not None
            assert "the inference server answers again" in caplog.text
        finally:
            successor.close()


def test_a_server_that_hangs_costs_one_pass(server: Serving, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inference_socket, "TIMEOUT_S", 0.3)
    with contextlib.closing(SharedInference(server.name, TINY, 2, 1)) as shared:
        shared.start()
        until("it is connected", lambda: shared.is_connected)
        server.gate.clear()
        assert ask(shared) is None
        assert not shared.is_connected
        server.gate.set()
        until("it is connected again", lambda: shared.is_connected)
        answer = ask(shared)
        assert answer is not None and answer.version == 3
