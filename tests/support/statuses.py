"""Status objects, episodes and heartbeats."""

from typing import Any

from metabonk.messages.workers import (
    EpisodeReport,
    GuestStatus,
    Heartbeat,
    Mode,
    StreamState,
    WorkerKind,
    WorkerStatus,
)


def status(index: int = 0, **changed: Any) -> WorkerStatus:
    values: dict[str, Any] = {
        "instance_id": f"omega-{index}",
        "worker_index": index,
        "pid": 1000 + index,
        "game": "doom:basic",
        "mode": Mode.TRAIN,
        "uptime_s": 1.0,
        "stream_url": f"http://127.0.0.1:{5000 + index}/stream.mp4",
        "stream_enabled": True,
        "stream_state": StreamState.STANDBY,
        "spectator_width": 1280,
        "spectator_height": 720,
        "pixel_src_width": 256,
        "pixel_src_height": 144,
        "pixel_obs_width": 128,
        "pixel_obs_height": 72,
    }
    return WorkerStatus.model_validate({**values, **changed})


def guest_status(index: int, name: str = "CartPole-v1-0", **changed: Any) -> WorkerStatus:
    values: dict[str, Any] = {
        "instance_id": name,
        "kind": WorkerKind.GUEST,
        "game": "CartPole-v1",
        "policy_version": None,
        "guest": GuestStatus(trainer_pid=4711),
    }
    return status(index, **{**values, **changed})


def episode(
    number: int,
    index: int = 0,
    *,
    reward: float = 1.0,
    length: int = 10,
    log: bytes | None = None,
) -> EpisodeReport:
    return EpisodeReport(
        worker_index=index,
        episode=number,
        total_reward=reward,
        length=length,
        step=number * length,
        policy_version=3,
        ended_at=1_700_000_000.0 + number,
        log=log,
    )


def heartbeat(index: int = 0, *episodes: EpisodeReport, **changed: Any) -> Heartbeat:
    return Heartbeat(status=status(index, **changed), episodes=list(episodes))
