"""The inference server's process: its device, its weights, and why it refuses."""

import pytest
import torch

from metabonk.errors import PolicyError, WireError
from metabonk.inference_server import process
from metabonk.inference_server.process import Model, choose_device
from metabonk.policy import ActorCritic, PolicySpec, encode_weights
from metabonk.settings import Settings
from tests.support.specs import OTHER_GAME, TINY


def weights(version: int, spec: PolicySpec = TINY) -> bytes:
    return encode_weights(ActorCritic(spec), version)


def test_until_there_are_weights_everybody_is_refused():
    model = Model(torch.device("cpu"))
    assert model.refuse(TINY) == "the learner has sent no weights yet"
    with pytest.raises(WireError):
        model.load(b"nothing")
    assert model.refuse(TINY) is not None
    model.load(weights(1))
    assert model.refuse(TINY) is None


def test_a_worker_of_another_game_is_refused():
    model = Model(torch.device("cpu"))
    model.load(weights(1))
    assert "for the game doom:take_cover" in (model.refuse(OTHER_GAME) or "")
    with pytest.raises(PolicyError, match="take_cover"):
        model.load(weights(2, OTHER_GAME))


def test_a_full_gpu_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    model = Model(torch.device("cpu"))
    with monkeypatch.context() as patched:
        patched.setattr(process, "BatchedForward", full)
        with pytest.raises(PolicyError, match="too little memory; every worker decides by itself"):
            model.load(weights(1))
        assert model.refuse(TINY) == "its GPU has too little memory"
    model.load(weights(2))
    assert model.refuse(TINY) is None


@pytest.mark.parametrize(
    ("inference", "has_gpu", "device"),
    [("auto", True, "cuda"), ("auto", False, None), ("shared", False, "cpu")],
)
def test_it_computes_on_a_gpu_unless_told_otherwise(
    inference: str, has_gpu: bool, device: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    settings = Settings.model_validate({"worker": {"inference": inference}})
    assert choose_device(settings) == (torch.device(device) if device else None)


def test_without_a_device_everybody_is_refused():
    assert Model(None).refuse(TINY) == "PyTorch can't use this GPU"
