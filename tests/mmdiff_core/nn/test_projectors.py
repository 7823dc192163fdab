"""From a photo's vector to subject tokens: one matrix, or a network with a hidden layer."""

from __future__ import annotations

import torch

from mmdiff_core.nn.projectors import TokenProjector


def test_one_matrix_is_ip_adapters_projection() -> None:
    torch.manual_seed(0)
    projector = TokenProjector(6, 4, 10, deep=False)
    assert sorted(projector.state_dict()) == ["norm.bias", "norm.weight", "output.bias", "output.weight"]
    source = torch.randn(3, 6)
    expected = (source @ projector.output.weight.mT + projector.output.bias).reshape(3, 4, 10)
    torch.testing.assert_close(projector(source), torch.nn.functional.layer_norm(expected, (10,)))
    assert projector(torch.zeros(6)).shape == (4, 10)


def test_a_network_has_a_hidden_layer_of_twice_the_width() -> None:
    assert TokenProjector(6, 4, 10).hidden.weight.shape == (12, 6)
