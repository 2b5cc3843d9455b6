"""Queries and keys normalised over all heads together (OLMo 2): their rows stay, all else of a head goes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from comparison import parameters
from families import TEXT, build, inputs
from transformers import AutoModelForCausalLM, InternVLVisionConfig, InternVLVisionModel, OlmoeConfig, OlmoeModel

import earlybird as eb
from earlybird.surgery.outputs import largest_difference, output_tensors

WHOLE = [[0, 0, 1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0, 1, 1]]
WITHIN = [[0, 1, 1, 0, 1, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1, 1]]


def ticket_of(model, masks=WHOLE):
    return eb.Ticket.of(eb.Anatomy.of(model), {"heads": np.array(masks, dtype=bool)})


def outputs(model, batch=None):
    # Without padding: of tokens that see nothing, each attention kernel makes something else.
    with torch.no_grad():
        return output_tensors(model(**(batch or inputs("olmo2", masked=False))))[:1]


def difference(model, other):
    return largest_difference(outputs(model), outputs(other)) / float(outputs(other)[0].abs().max())


def shapes(model, layer):
    attention = model.model.layers[layer].self_attn
    return {name: tuple(module.weight.shape) for name, module in attention.named_children()}


@pytest.mark.parametrize("masks", [WHOLE, WITHIN], ids=["whole groups", "within groups"])
def test_pruned_equals_masked(masks):
    model = build("olmo2")
    ticket = ticket_of(model, masks)
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(copy.deepcopy(model), ticket)
    assert difference(masked, model) > 1e-2
    assert difference(pruned, masked) < 1e-5


def test_the_rows_before_the_norm_stay_and_values_and_output_columns_go():
    model = build("olmo2")
    before = parameters(model)
    eb.prune(model, ticket_of(model))
    whole = {"q_proj": (32, 32), "k_proj": (16, 32), "q_norm": (32,), "k_norm": (16,)}
    assert shapes(model, 0) == {**whole, "v_proj": (12, 32), "o_proj": (32, 24)}
    assert shapes(model, 1) == {**whole, "v_proj": (8, 32), "o_proj": (32, 16)}
    assert before - parameters(model) == (4 + 8) * 32 + 32 * (8 + 16)
    found = [(block.units, block.groups, block.unit_size) for block in eb.Anatomy.of(model).attention]
    assert found == [(6, 3, 4), (4, 2, 4)]


def test_what_a_head_costs_is_what_goes_with_it():
    model = build("olmo2")
    anatomy = eb.Anatomy.of(model)
    costs = anatomy.unit_costs("parameters", 7)
    ticket = ticket_of(model)
    before = parameters(model)
    eb.prune(model, ticket)
    heads, groups = 2 + 4, 1 + 2
    assert before - parameters(model) == heads * costs.units["heads"][0] + groups * costs.groups[0]


@pytest.mark.parametrize("masks", [WHOLE, WITHIN], ids=["whole groups", "within groups"])
def test_it_is_saved_and_loaded(masks, tmp_path):
    model = build("olmo2")
    masked = eb.apply_mask(copy.deepcopy(model), ticket_of(model, masks))
    eb.save(eb.prune(model, ticket_of(model, masks)), tmp_path)
    for again in (eb.load(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)):
        assert difference(again, masked) < 1e-5
    again.save_pretrained(tmp_path / "again")
    assert difference(eb.load(tmp_path / "again"), masked) < 1e-5


def test_pruned_again_it_still_equals_what_was_masked(tmp_path):
    model = build("olmo2")
    first = ticket_of(model)
    masked = eb.apply_mask(copy.deepcopy(model), first)
    eb.prune(model, first)
    second = ticket_of(model, [[1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0]])
    eb.apply_mask(masked, ticket_of(masked, [[0, 0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1]]))
    eb.prune(model, second)
    assert difference(model, masked) < 1e-5
    eb.save(model, tmp_path)
    assert difference(eb.load(tmp_path), masked) < 1e-5
    assert difference(copy.deepcopy(model), masked) < 1e-5


@pytest.mark.parametrize("given", [True, False], ids=["its ticket", "no ticket"])
@pytest.mark.parametrize("name", ["olmo2", "mpnet", "falcon, alibi"])
def test_the_dense_export_puts_the_heads_back_where_they_were(name, given, tmp_path):
    model = build(name)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5), seed=1)
    pruned = eb.prune(copy.deepcopy(model), ticket)
    eb.export(pruned, tmp_path, ticket=ticket if given else None)
    dense = type(model).from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert eb.Anatomy.of(dense).units == eb.Anatomy.of(model).units
    batch = inputs(name)
    assert largest_difference(outputs(dense, batch), outputs(pruned, batch)) < 1e-4
    other = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5), seed=2)
    with pytest.raises(eb.InputError, match="does not fit the ticket"):
        eb.export(pruned, tmp_path / "other", ticket=other)


def test_no_config_of_layers_describes_it(tmp_path):
    model = build("olmo2")
    eb.prune(model, ticket_of(model))
    with pytest.raises(eb.InputError, match=r"norm\.kept_features came with the heads kept, and no field says it"):
        eb.export(model, tmp_path / "out", format="per-layer-config")


def test_without_its_last_head_it_holds_nothing():
    model = build("olmo2")
    ticket = ticket_of(model, [WHOLE[0], [0] * 8])
    masked = eb.apply_mask(copy.deepcopy(model), ticket)
    eb.prune(model, ticket)
    assert not sum(parameter.numel() for parameter in model.model.layers[1].self_attn.parameters())
    assert difference(model, masked) < 1e-5


def test_a_refusal_leaves_the_norm_as_it_was():
    model = build("olmo2")
    before = set(model.state_dict())
    model.model.layers[0].self_attn.o_proj.register_forward_hook(lambda module, _, out: out * module.in_features)
    with pytest.raises(eb.InputError, match="cannot be pruned: it gives other outputs"):
        eb.prune(model, ticket_of(model))
    assert set(model.state_dict()) == before
    features = model.model.layers[0].self_attn.q_norm(torch.randn(2, 32))
    assert features.shape == (2, 32)


def test_norms_with_a_mean_of_images_too():
    settings = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 8, "intermediate_size": 40}
    torch.manual_seed(0)
    config = InternVLVisionConfig(**settings, image_size=[16, 16], patch_size=[4, 4], use_qk_norm=True)
    model = InternVLVisionModel(config).eval()
    batch = {"pixel_values": torch.randn(2, 3, 16, 16)}
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.4, heads_scope="global"), seed=1)
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(model, ticket)
    assert largest_difference(outputs(masked, batch), outputs(pruned, batch)) < 1e-5


def test_a_uniform_ticket_of_a_family_without_known_neurons(tmp_path):
    # The config with fewer heads describes a model whose norms do not fit its projections.
    torch.manual_seed(0)
    config = OlmoeConfig(**TEXT, num_key_value_heads=8, num_experts=4, num_experts_per_tok=2)
    model = OlmoeModel(config).eval()
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, uniform=True), seed=1)
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(model, ticket)
    assert largest_difference(outputs(masked), outputs(pruned)) < 1e-4
    eb.save(pruned, tmp_path)
    assert largest_difference(outputs(eb.load(tmp_path)), outputs(pruned)) < 1e-4
