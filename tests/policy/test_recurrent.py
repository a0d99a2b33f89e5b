"""The recurrent layer, checked against PyTorch's cell."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metabonk.policy.recurrent import Packing, RecurrentLayer

FEATURES, SIZE = 5, 4


def make_layer() -> tuple[RecurrentLayer, nn.GRUCell]:
    """Return a layer with random biases, and a cell with the same weights."""
    layer, cell = RecurrentLayer(FEATURES, SIZE), nn.GRUCell(FEATURES, SIZE)
    for name, parameter in cell.named_parameters():
        parameter.data.normal_()
        layer.get_parameter(f"{name}_l0").data.copy_(parameter.data)
    return layer, cell


def unroll_cell(
    cell: nn.GRUCell, features: Tensor, state: Tensor, starts: NDArray[np.bool_]
) -> Tensor:
    states = []
    for step, feature in enumerate(features):
        if step:
            state = torch.where(torch.from_numpy(starts[step])[:, None], 0.0, state)
        state = cell(feature, state)
        states.append(state)
    return torch.stack(states)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(("length", "count"), [(1, 1), (1, 3), (7, 1), (9, 6)])
def test_sequences_run_as_if_step_by_step(share: float, length: int, count: int):
    layer, cell = make_layer()
    features = torch.randn(length, count, FEATURES, requires_grad=True)
    state = torch.randn(count, SIZE)
    starts = np.random.default_rng(length).random((length, count)) < share
    unrolled, expected = (
        layer.unroll(features, state, starts),
        unroll_cell(cell, features, state, starts),
    )
    torch.testing.assert_close(unrolled, expected)
    gradients = [
        torch.autograd.grad(states.square().sum(), [features, *module.parameters()])
        for module, states in ((layer, unrolled), (cell, expected))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_sequences_are_cut_into_segments_and_packed_by_length():
    # Steps 0, 2, 4, 6 are the first sequence, cut before 4; 1, 3, 5, 7 are the second.
    starts = np.zeros((4, 2), np.bool_)
    starts[2, 0] = True
    packing = Packing.of(starts)
    assert packing.batch_sizes.tolist() == [3, 3, 1, 1]
    assert packing.order.tolist() == [1, 0, 4, 3, 2, 6, 5, 7]
    assert packing.order[packing.position].tolist() == list(range(8))
    assert packing.sequences.tolist() == [1, 0, 2], "the last one begins inside a sequence"


def test_a_step_equals_that_of_a_cell():
    layer, cell = make_layer()
    features, state = torch.randn(3, FEATURES), torch.randn(3, SIZE)
    torch.testing.assert_close(layer.step(features, state), cell(features, state))
    torch.testing.assert_close(layer.step(features, None), cell(features))


def test_gradients_flow_through_time_but_not_across_episodes():
    layer, _ = make_layer()
    features = torch.randn(6, 1, FEATURES, requires_grad=True)
    starts = np.zeros((6, 1), np.bool_)
    starts[3] = True
    (gradient,) = torch.autograd.grad(
        layer.unroll(features, torch.zeros(1, SIZE), starts)[5].sum(), features
    )
    reached = gradient.abs().sum((1, 2)) > 0
    assert reached.tolist() == [False, False, False, True, True, True]
