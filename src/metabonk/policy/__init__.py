"""The policy: its network, how it acts, and how weights and rollouts travel.

``spec``                what a policy observes, can do and is made of; carried by every message
``encoders``            from observations to features
``defaults``            settings of learning by kind of game
``distributions``       distributions over actions, for learning
``action_choice``       actions by the network's output
``recurrent``           the recurrent layer
``network``             the actor-critic network
``shared_network``      a network that is used while its weights are replaced
``actor``               acts for several games at once
``forward``             forward passes, whichever process makes them
``inference_socket``    a worker's connection to an inference server
``inference_wire``      what the two exchange
``env_runner``          one game and its episode
``rollout``             steps of an episode as safetensors bytes
``device_observation``  observations of frames in a GPU's memory
``episode_log``         what repeats an episode and its thoughts, as bytes
``episode_recorder``    records them while games are played
``saliency``            maps of the image regions that an action depends on
``weights``             a network's weights as safetensors bytes
``transfer``            copies between host and device memory
``cuda_graph``          work of a GPU that is recorded and repeated
``serialization``       named arrays and a header as safetensors bytes
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
