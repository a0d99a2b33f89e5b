"""The recurrent layer, checked against PyTorch's cell."""

import pytest
import torch
from torch import Tensor, nn

from metabonk.policy.recurrent import RecurrentLayer

FEATURES, SIZE = 5, 4


def make_layer() -> tuple[RecurrentLayer, nn.GRUCell]:
    """Return a layer with random biases, and a cell with the same weights."""
    layer, cell = RecurrentLayer(FEATURES, SIZE), nn.GRUCell(FEATURES, SIZE)
    for name, parameter in cell.named_parameters():
        parameter.data.normal_()
        layer.get_parameter(f"{name}_l0").data.copy_(parameter.data)
    return layer, cell


def unroll_cell(cell: nn.GRUCell, features: Tensor, state: Tensor, starts: Tensor) -> Tensor:
    states = []
    for feature, begins in zip(features, starts, strict=True):
        state = cell(feature, torch.where(begins[:, None], 0.0, state))
        states.append(state)
    return torch.stack(states)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(("length", "count"), [(1, 1), (1, 3), (7, 1), (9, 6)])
def test_sequences_run_as_if_step_by_step(share: float, length: int, count: int):
    layer, cell = make_layer()
    features = torch.randn(length, count, FEATURES, requires_grad=True)
    state = torch.randn(count, SIZE)
    starts = torch.rand(length, count) < share
    unrolled, expected = (
        layer.unroll(features, state, starts),
        unroll_cell(cell, features, state, starts),
    )
    torch.testing.assert_close(unrolled, expected)
    with torch.no_grad():
        torch.testing.assert_close(layer.unroll(features, state, starts), expected)
    # Each state counts differently, so that a gradient at a wrong step is seen.
    factors = torch.randn_like(expected)
    gradients = [
        torch.autograd.grad((states.square() * factors).sum(), [features, *module.parameters()])
        for module, states in ((layer, unrolled), (cell, expected))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_a_step_equals_that_of_a_cell():
    layer, cell = make_layer()
    features, state = torch.randn(3, FEATURES), torch.randn(3, SIZE)
    torch.testing.assert_close(layer.step(features, state), cell(features, state))
    torch.testing.assert_close(layer.step(features, None), cell(features))


def test_gradients_flow_through_time_but_not_across_episodes():
    layer, _ = make_layer()
    features = torch.randn(6, 1, FEATURES, requires_grad=True)
    starts = torch.zeros(6, 1, dtype=torch.bool)
    starts[3] = True
    (gradient,) = torch.autograd.grad(
        layer.unroll(features, torch.zeros(1, SIZE), starts)[5].sum(), features
    )
    reached = gradient.abs().sum((1, 2)) > 0
    assert reached.tolist() == [False, False, False, True, True, True]
