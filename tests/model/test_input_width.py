"""Attention whose forward pass takes its width from its input."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers as hf
from torch import nn
from torch.utils.checkpoint import checkpoint

import earlybird as eb


class Attention(nn.Module):
    """As timm's BEiT has it: biases apart, and a result with the channels of the input."""

    def __init__(self):
        super().__init__()
        self.num_heads, self.qkv_bias_separate = 4, False
        self.qkv, self.proj = nn.Linear(16, 48, bias=False), nn.Linear(16, 16)
        self.q_bias, self.v_bias = nn.Parameter(torch.randn(16)), nn.Parameter(torch.randn(16))
        self.register_buffer("k_bias", torch.zeros(16), persistent=False)

    def forward(self, x):
        B, N, C = x.shape
        bias = torch.cat((self.q_bias, self.k_bias, self.v_bias))
        qkv = self.qkv(x) + bias if self.qkv_bias_separate else nn.functional.linear(x, self.qkv.weight, bias)
        q, k, v = qkv.reshape(B, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        found = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(found.transpose(1, 2).reshape(B, N, C))


class Residual(Attention):
    """Uses its input for something else than its projections, too."""

    def forward(self, x):
        return super().forward(x) + x.mean(-1, keepdim=True)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(Attention(), nn.LayerNorm(16), Attention())


def test_it_loses_heads_exactly_twice_in_a_row(model):
    x = torch.randn(2, 5, 16, requires_grad=True)
    for ratio in (0.3, 0.5):
        ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=ratio))
        masked = eb.apply_mask(copy.deepcopy(model), ticket)
        eb.prune(model, ticket)
        torch.testing.assert_close(model(x), masked(x), rtol=1e-4, atol=1e-5)
        gradients = [torch.autograd.grad(changed(x).square().sum(), x)[0] for changed in (model, masked)]
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)
    assert eb.Anatomy.of(model).units == {"heads": (1, 1)}


def test_pruned_it_can_be_copied_compiled_checkpointed_and_used_without_gradients(model):
    x = torch.randn(2, 5, 16)
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5)))
    expected = model(x)
    for changed in (copy.deepcopy(model), torch.compile(model, backend="eager", fullgraph=True)):
        torch.testing.assert_close(changed(x), expected)
    torch.testing.assert_close(checkpoint(model, x, use_reentrant=False), expected)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), expected)


def test_one_that_uses_its_input_otherwise_is_refused_and_left_as_it_was():
    model = nn.Sequential(Residual())
    before = {name: (id(p), p.tolist()) for name, p in model.named_parameters()}
    with pytest.raises(eb.InputError, match="cannot be pruned"):
        eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5)))
    assert {name: (id(p), p.tolist()) for name, p in model.named_parameters()} == before
    assert model[0].num_heads == 4
    assert model[0].qkv_bias_separate is False
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_hugging_face_model_of_that_kind_loads_again(tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
    model = hf.BlipVisionModel(hf.BlipVisionConfig(**sizes, image_size=16, patch_size=8)).eval()
    x = torch.randn(1, 3, 16, 16)
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5)))
    eb.save(model, tmp_path)
    for loaded in (eb.load(tmp_path), hf.BlipVisionModel.from_pretrained(tmp_path).eval()):
        with torch.no_grad():
            torch.testing.assert_close(loaded(x).last_hidden_state, model(x).last_hidden_state)
