"""The policy: what it is made of, how it acts, and how it and its experience travel.

``spec``           what a policy sees, can do and is made of; both ends of every message compare it
``encoders``       what makes features of pictures and of numbers
``distributions``  what a policy may do
``network``        the actor-critic network
``actor``          acts, for several games at once
``sight``          observations of pictures that are on the GPU
``attention``      where the network looks
``wire``           named arrays and a header as safetensors bytes
``weights``        a network's weights as such bytes
``rollout``        what was lived through, as such bytes
"""

from metabonk.policy.actor import Actor, Decision
from metabonk.policy.device_observation import DeviceObserver
from metabonk.policy.network import ActorCritic
from metabonk.policy.rollout import EpisodeEnd, Rollout, RolloutBuilder
from metabonk.policy.spec import PolicySpec
from metabonk.policy.weights import (
    decode_weights,
    encode_weights,
    load_weights,
)

__all__ = [
    "Actor",
    "ActorCritic",
    "Decision",
    "DeviceObserver",
    "EpisodeEnd",
    "PolicySpec",
    "Rollout",
    "RolloutBuilder",
    "decode_weights",
    "encode_weights",
    "load_weights",
]
