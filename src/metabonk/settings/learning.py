"""Settings of learning, which a run keeps."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from metabonk.settings.env_args import EnvArgsSetting
from metabonk.settings.section import Section, split

LayerSize = Annotated[int, Field(ge=1, le=4096)]


class Learning(Section):
    """Asynchronous PPO. The defaults learn Doom's basic scenario in 25,000 steps."""

    seed: int = Field(0, ge=0, description="seed of networks, episodes and actions")
    env_args: EnvArgsSetting = Field(
        {},
        description="arguments of a Gymnasium environment's constructor, a table of names and "
        "values; in the environment variable KEY=VALUE,KEY=VALUE",
    )
    observation: Literal["auto", "pixels", "vector"] = Field(
        "auto",
        description="what the policy sees. auto: the environment's own observation if that is an "
        "image or consists of numbers, else drawn frames; pixels: drawn frames; vector: the "
        "environment's own numbers",
    )
    observation_width: int = Field(
        0, ge=0, le=1024, description="size of the policy's frames, pixels; 0: the game's default"
    )
    observation_height: int = Field(
        0, ge=0, le=1024, description="size of the policy's frames, pixels; 0: the game's default"
    )
    grayscale: bool = Field(False, description="the policy sees frames in grayscale")
    frame_stack: int = Field(
        0,
        ge=0,
        le=16,
        description="images that the policy sees at once in Gymnasium games; 0: 4 where each is a "
        "single frame, 1 where the environment stacks them",
    )
    network: Literal["small", "nature", "sample_factory"] = Field(
        "small",
        description="convolutional encoder. small: for few cores; nature: that of DQN; "
        "sample_factory: that of its ViZDoom recipe",
    )
    mlp_layers: Annotated[tuple[LayerSize, ...], BeforeValidator(split)] = Field(
        (128, 128),
        min_length=1,
        max_length=16,
        description="sizes of the hidden layers of the multilayer perceptron for vectors",
    )
    recurrent: bool = Field(False, description="add a gated recurrent unit (GRU)")
    frame_skip: int = Field(
        4, ge=1, le=32, description="tics that an action is held in Doom, Atari games and consoles"
    )
    rollout_steps: int = Field(32, ge=2, le=1024, description="steps in a rollout")
    batch_size: int = Field(1024, ge=32, le=1_000_000, description="steps in an update")
    epochs: int = Field(4, ge=1, le=50, description="passes over a batch")
    num_minibatches: int = Field(8, ge=1, le=64, description="gradient steps per pass")
    learning_rate: float = Field(5e-4, gt=0, le=1, description="Adam's learning rate")
    lr_final: float = Field(0.0, ge=0, le=1, description="learning rate after lr_decay_steps")
    lr_decay_steps: int = Field(
        0, ge=0, description="steps over which the learning rate decays linearly; 0: constant"
    )
    gamma: float = Field(0.99, gt=0, lt=1, description="discount factor")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="λ of GAE: bias against variance")
    advantage: Literal["gae", "vtrace"] = Field("gae", description="estimator of advantages")
    clip_range: float = Field(0.2, gt=0, lt=1, description="ε: the ratio is kept in [1/(1+ε), 1+ε]")
    value_clip_range: float = Field(
        0.2, ge=0, description="largest change of a normalized value in an update; 0: unlimited"
    )
    normalize_returns: bool = Field(
        True, description="normalize returns by their running statistics; gae only"
    )
    value_coefficient: float = Field(0.5, ge=0, le=10, description="weight of the value loss")
    target_kl: float = Field(
        0.0, ge=0, le=10, description="KL divergence at which an update stops early; 0: never"
    )
    kl_coefficient: float = Field(
        0.0, ge=0, le=100, description="weight of the KL penalty to the behaviour policy"
    )
    exploration_loss: Literal["entropy", "symmetric_kl"] = Field(
        "entropy", description="exploration bonus: entropy, or symmetric KL to the uniform policy"
    )
    entropy_coefficient: float = Field(
        0.01, ge=0, le=1, description="weight of the exploration bonus"
    )
    max_grad_norm: float = Field(4.0, gt=0, description="gradient norm is clipped to this")
    max_policy_lag: int = Field(
        20, ge=1, description="steps whose policy is more versions behind are dropped"
    )
    reward_scale: float = Field(
        0.0, ge=0, description="factor on rewards for learning; 0: the game's default"
    )
    checkpoint_interval_s: float = Field(60.0, gt=0, description="seconds between checkpoints")
