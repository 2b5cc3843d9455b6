"""Scaling features or, where it costs less, weights: the same outputs and gradients, and nothing left behind."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

import earlybird as eb
from earlybird.slimming.scaling import fold, is_scaled, scale_input, scale_output, weight_is_smaller

UNITS, SIZE, OTHER = 3, 2, 5
# Two features that belong to no unit, such as the values beside the queries of a fused projection.
UNIT_OF = np.array([*np.repeat(np.arange(UNITS), SIZE), -1, -1])
LAYOUTS = {
    "heads": np.repeat(np.arange(UNITS), SIZE),
    "neurons": np.arange(UNITS),
    "heads and others": UNIT_OF,
    "interleaved": np.tile(np.arange(UNITS), SIZE),
}
FEW, MANY = 2, 40


def projection(kind, inputs, outputs):
    torch.manual_seed(0)
    module = nn.Linear(inputs, outputs) if kind == "linear" else Conv1D(outputs, inputs)
    nn.init.normal_(module.bias)
    return module


def scaled_projection(kind, place, unit_of=UNIT_OF):
    inputs, outputs = (len(unit_of), OTHER) if place == "input" else (OTHER, len(unit_of))
    module = projection(kind, inputs, outputs)
    deviation = torch.tensor([0.5, -0.25, 0.125], requires_grad=True)
    return module, deviation, (scale_input if place == "input" else scale_output)(module, deviation, unit_of)


def by_hand(module, features, deviation, place, unit_of):
    scale = torch.stack([1 + deviation[unit] if unit >= 0 else torch.tensor(1.0) for unit in unit_of])
    return module(features * scale) if place == "input" else module(features) * scale


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("tokens", [FEW, MANY])
@pytest.mark.parametrize("place", ["input", "output"])
@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_outputs_and_gradients_are_those_of_scaling_by_hand(kind, place, tokens, layout):
    unit_of = LAYOUTS[layout]
    module, deviation, _ = scaled_projection(kind, place, unit_of)
    plain = projection(kind, *((len(unit_of), OTHER) if place == "input" else (OTHER, len(unit_of))))
    reference = deviation.detach().clone().requires_grad_(True)
    features = torch.randn(tokens, len(unit_of) if place == "input" else OTHER, requires_grad=True)
    others = features.detach().clone().requires_grad_(True)
    assert weight_is_smaller(module, features, other_side=place == "output") == (tokens == MANY)
    found, expected = module(features), by_hand(plain, others, reference, place, unit_of)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for one, other in [
        (deviation, reference),
        (module.weight, plain.weight),
        (module.bias, plain.bias),
        (features, others),
    ]:
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("place", ["input", "output"])
def test_scaling_weights_leaves_parameters_and_state_dict_alone(place):
    module, _, handles = scaled_projection("linear", place)
    weight, before = module.weight, copy.deepcopy(module.state_dict())
    features = torch.randn(MANY, module.in_features)
    during = []
    module.register_forward_hook(lambda m, args, output: during.append((m.weight is weight, list(m.state_dict()))))
    module(features)
    # The test's hook runs last: all is as before even then.
    assert during == [(True, ["weight", "bias"])]
    assert module.weight is weight
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)
    for handle in handles:
        handle.remove()
    assert not is_scaled(module)
    torch.testing.assert_close(module(features), nn.functional.linear(features, weight, module.bias), rtol=0, atol=0)


def test_an_error_in_the_forward_pass_leaves_the_weight_as_it_was():
    module, _, _ = scaled_projection("linear", "input")
    weight = module.weight
    with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied|size mismatch"):
        module(torch.randn(1000, len(UNIT_OF) - 1))
    assert module.weight is weight


@pytest.mark.parametrize("tokens", [FEW, MANY])
@pytest.mark.parametrize("place", ["input", "output"])
@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_folding_a_copy_keeps_its_outputs(kind, place, tokens):
    module, _, _ = scaled_projection(kind, place)
    features = torch.randn(tokens, len(UNIT_OF) if place == "input" else OTHER)
    copied = copy.deepcopy(module)
    fold(copied)
    assert not is_scaled(copied)
    assert is_scaled(module)
    torch.testing.assert_close(copied(features), module(features))


class Rounding(nn.Linear):
    """What a projection with a quantized weight does: scaling its columns first would round them otherwise."""

    def forward(self, features):
        return nn.functional.linear(features, self.weight.round(decimals=1), self.bias)


@pytest.mark.parametrize("kind", ["computed weight", "subclass"])
def test_a_weight_of_which_it_is_not_known_what_comes_of_it_is_left_to_the_features(kind):
    torch.manual_seed(0)
    module = Rounding(len(UNIT_OF), OTHER) if kind == "subclass" else nn.Linear(len(UNIT_OF), OTHER)
    if kind == "computed weight":
        nn.utils.parametrizations.weight_norm(module)
    expected = module(torch.ones(MANY, len(UNIT_OF)) * torch.tensor([1.5] * 2 + [0.75] * 2 + [1.125] * 2 + [1, 1]))
    scale_input(module, torch.tensor([0.5, -0.25, 0.125]), UNIT_OF)
    torch.testing.assert_close(module(torch.ones(MANY, len(UNIT_OF))), expected)


@pytest.mark.parametrize("place", ["input", "output"])
def test_an_input_by_keyword_is_refused(place):
    module, _, _ = scaled_projection("linear", place)
    with pytest.raises(eb.InputError, match="by keyword"):
        module(input=torch.randn(FEW, module.in_features))
