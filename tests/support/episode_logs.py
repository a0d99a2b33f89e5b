"""Episodes as they are recorded, without games."""

import numpy as np

from metabonk.games import ActionKind, Transition
from metabonk.policy import Decision
from metabonk.policy.episode_log import EpisodeSetup
from metabonk.policy.episode_recorder import EpisodeRecorder, Recording

VERSIONS = {"metabonk": "0.2.0", "vizdoom": "1.3.2"}

DISCRETE = EpisodeSetup(
    "doom:basic",
    env_args={},
    frame_skip=4,
    versions=VERSIONS,
    action_kind=ActionKind.DISCRETE,
    action_sizes=(6,),
)
MANY_OPTIONS = EpisodeSetup(
    "gym:Many-v0",
    env_args={"size": 3, "name": "8×8", "nested": [{"deep": None}]},
    frame_skip=1,
    versions={},
    action_kind=ActionKind.DISCRETE,
    action_sizes=(1000,),
)
MULTI_DISCRETE = EpisodeSetup(
    "gym:Choices-v0",
    env_args={},
    frame_skip=4,
    versions=VERSIONS,
    action_kind=ActionKind.MULTI_DISCRETE,
    action_sizes=(3, 2, 300),
)
CONTINUOUS = EpisodeSetup(
    "gym:HalfCheetah-v5",
    env_args={},
    frame_skip=4,
    versions=VERSIONS,
    action_kind=ActionKind.CONTINUOUS,
    axes=6,
)
SETUPS = [DISCRETE, MANY_OPTIONS, MULTI_DISCRETE, CONTINUOUS]


def played(setup: EpisodeSetup, steps: int, seed: int = 0) -> list[tuple[Decision, Transition]]:
    """Return steps of a policy whose probabilities and values drift, as those of a trained one."""
    random = np.random.default_rng(seed)
    logits = np.cumsum(random.normal(0, 0.15, (steps, setup.options)), axis=0)
    parts = np.split(np.exp(logits), np.cumsum(setup.action_sizes)[:-1], axis=1)
    shares = [part / part.sum(axis=1, keepdims=True) for part in parts]
    probabilities = np.concatenate(shares, axis=1).astype(np.float32)
    values = np.cumsum(random.normal(0, 0.05, steps))
    rewards = np.where(random.random(steps) < 0.1, 1.0, -0.01)
    made = []
    for step in range(steps):
        match setup.action_kind:
            case ActionKind.DISCRETE:
                action = int(random.choice(setup.options, p=shares[0][step]))
            case ActionKind.MULTI_DISCRETE:
                action = random.integers(setup.action_sizes)
            case ActionKind.CONTINUOUS:
                action = random.standard_normal(setup.axes).astype(np.float32)
        decision = Decision(action, -0.5, float(values[step]), probabilities[step], version=7)
        reward = float(rewards[step])
        made.append((decision, Transition(np.zeros(1), reward, False, False, tics=4 - (step == 3))))
    return made


def record(
    setup: EpisodeSetup = DISCRETE, steps: int = 100, seed: int = 0, *, carried: bytes = b""
) -> Recording:
    """Return the recording of an episode."""
    recorder = EpisodeRecorder(setup)
    recorder.begin(seed, carried)
    total_reward = 0.0
    for decision, transition in played(setup, steps, seed):
        recorder.add(decision, transition)
        total_reward += transition.reward
    recording = recorder.finish(7, total_reward)
    assert recording is not None
    return recording


def recorded(setup: EpisodeSetup = DISCRETE, steps: int = 100, seed: int = 0) -> bytes:
    """Return the encoded log of an episode."""
    log = record(setup, steps, seed).to_bytes()
    assert log is not None
    return log
