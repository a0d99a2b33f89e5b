"""Heartbeats, with a stand-in for the orchestrator."""

import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

from metabonk.http.app import MAX_BODY_BYTES
from metabonk.messages.workers import MAX_EPISODE_LOG_BYTES, Counters, DesiredState, HeartbeatReply
from metabonk.policy.episode_log import EpisodeLog
from metabonk.worker.heartbeat import MAX_EPISODES, HeartbeatSender
from metabonk.worker.progress import Progress
from tests.support.episode_logs import DISCRETE, record
from tests.support.orchestrator import Orchestrator
from tests.support.serving import free_ports
from tests.support.statuses import status
from tests.support.waiting import GENEROUS_S, until


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def replies() -> list[HeartbeatReply]:
    """Replies that the worker was given, oldest first."""
    return []


@pytest.fixture
def progress() -> Progress:
    return Progress(0, Counters())


@pytest.fixture
def sender(port: int, replies: list[HeartbeatReply]) -> Iterator[HeartbeatSender]:
    made = HeartbeatSender(f"127.0.0.1:{port}", lambda: status(0), replies.append, 0.02)
    # A heartbeat that is given up although it has arrived reports its episodes twice.
    made._connection.timeout = 2 * GENEROUS_S
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


def test_episodes_are_reported_with_their_logs(
    sender: HeartbeatSender, port: int, progress: Progress
):
    too_long = record(carried=np.random.default_rng(0).bytes(MAX_EPISODE_LOG_BYTES))
    for recording in (record(DISCRETE, 20), None, too_long, record(DISCRETE, 30)):
        sender.add_episode(progress.finish_episode(1.0, 1, policy_version=0), recording)
    sender.start()
    with Orchestrator(port) as orchestrator:
        until("all of them", lambda: len(orchestrator.episodes) == 4)
    logs = [each.log and len(EpisodeLog.from_bytes(each.log)) for each in orchestrator.episodes]
    assert logs == [20, None, None, 30]


def test_no_heartbeat_is_larger_than_a_server_accepts(
    sender: HeartbeatSender, port: int, progress: Progress
):
    large = np.random.default_rng(0).bytes(MAX_EPISODE_LOG_BYTES - 30_000)
    recording = record(carried=large)
    for _ in range(21):
        sender.add_episode(progress.finish_episode(1.0, 1, policy_version=0), recording)
    sender.start()
    with Orchestrator(port) as orchestrator:
        until("all of them", lambda: len(orchestrator.episodes) == 21)
    assert max(len(each.model_dump_json()) for each in orchestrator.heartbeats) < MAX_BODY_BYTES
    with_log = [each.log is not None for each in orchestrator.episodes]
    assert with_log == [True] * 16 + [False] * 5, "episodes outlast their logs"


def test_the_oldest_episodes_of_a_long_outage_are_dropped(port: int, progress: Progress):
    sender = HeartbeatSender(f"127.0.0.1:{port}", lambda: status(0), lambda reply: None)
    sender._connection.timeout = 2 * GENEROUS_S
    for _ in range(MAX_EPISODES + 10):
        sender.add_episode(progress.finish_episode(0.0, 1, policy_version=0))
    sender.start()
    with Orchestrator(port) as orchestrator:
        until("all of them", lambda: len(orchestrator.episodes) >= MAX_EPISODES)
        sender.close()
    assert [each.episode for each in orchestrator.episodes] == list(range(11, MAX_EPISODES + 11))


def test_closing_waits_for_no_answer(port: int, sender: HeartbeatSender):
    with socket.create_server(("127.0.0.1", port)) as silent:
        sender.start()
        connection, _ = silent.accept()
        with connection:
            began = time.monotonic()
            sender.close()
            assert time.monotonic() - began < GENEROUS_S
