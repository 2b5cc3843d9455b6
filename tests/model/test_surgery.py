"""pruned == masked, exactly, and a refusal leaves the model as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
    ViTConfig,
    ViTForImageClassification,
)

import earlybird as eb
from earlybird.surgery.plan import plan_surgery

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "intermediate_size": 96,
    "image_size": 8,
    "patch_size": 2,
}


def strong_weights(model):
    """Weights large enough that a wrong slice would show."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def tiny_vit(**changes):
    return strong_weights(ViTForImageClassification(ViTConfig(**{**SIZES, **changes}, num_labels=10)))


PIXELS = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
TOKENS = torch.randint(5, 100, (2, 9), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize(("heads", "neurons"), [(0.25, 0.4), (0.8, 0.8), (None, 0.5), (0.5, None)])
def test_pruned_vit_equals_masked_vit(kernel, heads, neurons):
    model = tiny_vit(attn_implementation=kernel)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=heads, neurons=neurons))
    masked = eb.apply_mask(copy.deepcopy(model), ticket)(PIXELS).logits
    pruned = eb.prune(copy.deepcopy(model), ticket)(PIXELS).logits
    assert (masked - pruned).abs().max() < 1e-5
    assert (masked - model(PIXELS).logits).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        (BertModel, BertConfig(**SIZES)),
        (RobertaModel, RobertaConfig(**SIZES)),
        (ElectraModel, ElectraConfig(**SIZES)),
        (DistilBertModel, DistilBertConfig(dim=48, n_layers=3, n_heads=6, hidden_dim=96)),
    ],
)
def test_verify_on_text_encoders(architecture, config):
    model = strong_weights(architecture(config))
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.25, neurons=0.4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert eb.verify(model, ticket, {"input_ids": TOKENS}) < 1e-5
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_gradients_of_kept_weights_agree():
    model = tiny_vit()
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.25, neurons=0.4))
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(copy.deepcopy(model), ticket)
    for changed in (masked, pruned):
        changed(PIXELS).logits.square().sum().backward()
    for cut in plan_surgery(eb.Anatomy.of(model), ticket).cuts:
        expected = masked.get_parameter(cut.parameter).grad.index_select(cut.dim, cut.index)
        found = pruned.get_parameter(cut.parameter).grad
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_without_a_ticket_pruning_says_how_to_draw_one():
    with pytest.raises(eb.InputError, match=r"the masks have not settled; search\.draw_now\(\) draws"):
        eb.prune(tiny_vit(), None)


def test_a_ticket_for_another_model_is_refused_and_changes_nothing():
    model, other = tiny_vit(), tiny_vit(intermediate_size=64)
    ticket = eb.Ticket.random(eb.Anatomy.of(other), eb.PruningConfig(heads=0.25, neurons=0.4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(eb.InputError, match=r"expects 64 neurons in vit\.layers\.0\.mlp, found 96"):
        eb.prune(model, ticket)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_model_without_known_blocks_is_refused():
    with pytest.raises(eb.InputError, match="found neither attention nor MLP blocks in Linear"):
        eb.Anatomy.of(torch.nn.Linear(3, 3))
