"""Heartbeats, with a stand-in for the orchestrator."""

import time
from collections.abc import Iterator

import pytest

from metabonk.messages import Counters, DesiredState, HeartbeatReply
from metabonk.worker import heartbeat
from metabonk.worker.heartbeat import MAX_EPISODES, HeartbeatSender
from metabonk.worker.progress import Progress
from tests.support.orchestrator import Orchestrator
from tests.support.serving import free_ports
from tests.support.statuses import status
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL_S", 0.02)


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def replies() -> list[HeartbeatReply]:
    """What the worker was told, oldest first."""
    return []


@pytest.fixture
def progress() -> Progress:
    return Progress(0, Counters())


@pytest.fixture
def sender(port: int, replies: list[HeartbeatReply]) -> Iterator[HeartbeatSender]:
    made = HeartbeatSender(f"http://127.0.0.1:{port}", lambda: status(0), replies.append)
    yield made
    made.close()


def test_the_status_is_sent_and_the_assignment_comes_back(
    sender: HeartbeatSender, port: int, replies: list[HeartbeatReply]
):
    sender.start()
    with Orchestrator(port) as orchestrator:
        until("a reply", lambda: replies)
        assert orchestrator.status == status(0)
        assert replies[-1].desired is DesiredState.STANDBY
        orchestrator.desired = DesiredState.LIVE
        until("another", lambda: replies[-1].desired is DesiredState.LIVE)


def test_every_episode_is_reported_once_also_those_of_an_outage(
    sender: HeartbeatSender,
    port: int,
    progress: Progress,
    replies: list[HeartbeatReply],
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level("INFO")
    sender.start()
    for _ in range(3):
        sender.add_episode(progress.finish_episode(1.0, 10, policy_version=2))
    until("it is noticed", lambda: "does not answer" in caplog.text)
    with Orchestrator(port) as orchestrator:
        until("a reply", lambda: replies)
        sender.add_episode(progress.finish_episode(1.0, 10, policy_version=2))
        until("all of them", lambda: len(orchestrator.episodes) == 4)
        heard = len(replies)
        until("more heartbeats", lambda: len(replies) > heard + 2)
    assert [each.episode for each in orchestrator.episodes] == [1, 2, 3, 4]
    assert caplog.text.count("does not answer") <= 2, "once an outage"
    assert "the orchestrator answers again" in caplog.text


def test_the_oldest_episodes_of_a_long_outage_are_dropped(port: int, progress: Progress):
    sender = HeartbeatSender(f"http://127.0.0.1:{port}", lambda: status(0), lambda reply: None)
    for _ in range(MAX_EPISODES + 10):
        sender.add_episode(progress.finish_episode(0.0, 1, policy_version=0))
    sender.start()
    with Orchestrator(port) as orchestrator:
        until("all of them", lambda: len(orchestrator.episodes) >= MAX_EPISODES)
        sender.close()
    assert [each.episode for each in orchestrator.episodes] == list(range(11, MAX_EPISODES + 11))


def test_closing_waits_for_no_answer(port: int, sender: HeartbeatSender):
    sender.start()
    began = time.monotonic()
    sender.close()
    assert time.monotonic() - began < 1
