"""A random ticket at a budget, pruned and counted again, for the named families."""

from __future__ import annotations

import copy
import gc
import pickle
from functools import cache

import pytest
import torch
from families import FAMILIES, TEXT, build
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertModel

import earlybird as eb
from earlybird.anatomy.example import example_inputs
from earlybird.anatomy.flops import forward_flops, parameter_count
from earlybird.anatomy.unit_costs import flops_of_units

TOKENS = 7
MEASURED = [(name, measure) for name in FAMILIES for measure in ("flops", "parameters")]


@cache
def whole(name):
    model = build(name)
    return model, eb.Anatomy.of(model)


def counted(model, measure):
    if measure == "parameters":
        return parameter_count(model)
    return forward_flops(model, example_inputs(model, TOKENS)[0])


@pytest.mark.parametrize(("name", "measure"), MEASURED)
@settings(max_examples=3, deadline=None)
@given(budget=st.floats(0.5, 0.95), seed=st.integers(0, 99))
def test_what_is_left_of_the_blocks_is_at_most_what_was_asked_and_within_one_unit(name, measure, budget, seed):
    model, anatomy = whole(name)
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(**{measure: budget}, tokens=TOKENS), seed=seed)
    costs = anatomy.unit_costs(measure, TOKENS)
    small = eb.prune(copy.deepcopy(model), ticket)
    saved = counted(model, measure) - counted(small, measure)
    assert saved >= (1 - budget) * costs.whole - 1e-6
    # One unit: a head with what its group brings, where it goes as a group with all heads of that, or of every group.
    groups = anatomy.key_value_groups
    heads_of_a_unit = 1 if groups is None else max(max(anatomy.units["heads"]), 1)
    # Every expert of one tensor keeps a multiple of eight neurons.
    neurons_of_a_unit = 8 * max((block.experts or 0 for block in anatomy.mlp), default=0) or 1
    dearest = max(
        max(costs.units.get("heads", (0,))) * heads_of_a_unit + max(costs.groups, default=0),
        max(costs.units.get("neurons", (0,))) * neurons_of_a_unit,
    )
    assert saved <= (1 - budget) * costs.whole + dearest


@pytest.mark.parametrize("setting", [{"uniform": True}, {"round_to": 8}, {"kv_groups": "within"}])
@pytest.mark.parametrize("name", ["bert", "llama", "t5", "swin"])
def test_the_budget_holds_whatever_shape_the_blocks_must_have(name, setting):
    model, anatomy = whole(name)
    config = eb.PruningConfig(flops=0.6, tokens=TOKENS, **setting)
    small = eb.prune(copy.deepcopy(model), eb.Ticket.random(anatomy, config))
    saved = counted(model, "flops") - counted(small, "flops")
    assert saved >= 0.4 * anatomy.unit_costs("flops", TOKENS).whole - 1e-6


class Curious(nn.Module):
    """Asks for a value that depends on what a position holds, and fails on zeros."""

    def __init__(self):
        super().__init__()
        self.bert = build("bert")
        self.config = self.bert.config

    def forward(self, input_ids):
        return self.bert(input_ids[:, : 1 // int(input_ids.sum())])


def test_a_model_that_runs_on_no_shapes_is_refused_by_name_and_takes_a_budget_of_parameters():
    model = Curious()
    with pytest.raises(eb.InputError, match=r"the FLOPs of Curious cannot be counted.*a budget of parameters"):
        flops_of_units(model, {"heads": eb.Anatomy.of(model).attention}, {"input_ids": torch.ones(1, 4).long()}, 4)
    assert eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(parameters=0.5))


def test_a_module_of_ones_own_has_no_example():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 1, enable_nested_tensor=False)

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(8, 16), nn.Linear(16, 8)

        def forward(self, x):
            return self.fc2(torch.relu(self.fc1(x)))

    model = nn.Sequential(Layer())
    with pytest.raises(eb.InputError, match="nothing says what an example of Sequential looks like"):
        eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(flops=0.5))
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(parameters=0.5))
    assert ticket.kept("neurons") == (7,)


def test_costs_are_counted_on_the_model_as_long_as_it_is_what_it_was():
    model = build("bert")
    anatomy = eb.Anatomy.of(model)
    config = eb.PruningConfig(parameters=0.5)
    eb.prune(model, eb.Ticket.random(anatomy, config))
    with pytest.raises(eb.InputError, match="was changed since its anatomy was made"):
        eb.Ticket.random(anatomy, config)
    del model
    gc.collect()
    with pytest.raises(eb.InputError, match="the model, which is gone"):
        eb.Ticket.random(anatomy, config)


def test_an_anatomy_goes_to_another_process_without_its_model():
    model = build("bert")
    there = pickle.loads(pickle.dumps(eb.Anatomy.of(model)))
    assert there == eb.Anatomy.of(model)
    with pytest.raises(eb.InputError, match="the model, which is gone"):
        eb.Ticket.random(there, eb.PruningConfig(flops=0.5))


def test_more_tokens_make_heads_dearer_than_neurons():
    _, anatomy = whole("bert")
    short, long = (anatomy.unit_costs("flops", tokens).units for tokens in (2, 64))
    assert long["heads"][0] / long["neurons"][0] > short["heads"][0] / short["neurons"][0]


def test_a_search_draws_and_prunes_at_its_budget(tmp_path):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, num_labels=2
    )
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    asked = eb.SearchConfig(flops=0.5, tokens=12, compensation=0)
    search = eb.Search(model, asked, total_steps=300, recording=eb.Recording(tmp_path))
    generator = torch.Generator().manual_seed(0)
    while search.ticket is None and search.steps < 300:
        tokens = torch.randint(0, 50, (8, 12), generator=generator)
        model(input_ids=tokens, labels=(tokens[:, 0] > 25).long()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        search.step()
    ticket = search.ticket or search.draw_now()
    assert set(search.masks()) == {"heads", "neurons"}
    search.finish()
    example = example_inputs(model, 12)[0]
    before, costs = forward_flops(model, example), eb.Anatomy.of(model).unit_costs("flops", 12)
    saved = before - forward_flops(eb.prune(model, ticket), example)
    assert saved >= costs.whole / 2 - 1e-6
    # The record tells what units cost, so that any budget can be asked of it without the model.
    record = eb.Trajectory.open(tmp_path)
    draw = eb.detect(record, asked)
    if draw is not None:
        assert draw.step == search.draw.step
        assert all((draw.masks[kind] == ticket.masks[kind]).all() for kind in ticket.masks)
    for share in (0.3, 0.7):
        other = eb.detect(record, eb.SearchConfig(flops=share, tokens=12))
        assert other is None or costs.of(other.masks) <= share * costs.whole


@pytest.mark.parametrize("measure", ["flops", "parameters"])
@pytest.mark.parametrize(
    ("name", "modules"), [("bert", ["query", "dense"]), ("llama", ["q_proj", "v_proj", "up_proj"])]
)
def test_beside_adapters_the_matrices_of_both_are_counted(name, modules, measure):
    model = get_peft_model(build(name), LoraConfig(r=4, target_modules=modules))
    anatomy, inner = eb.Anatomy.of(model), model.get_base_model()
    costs, before = anatomy.unit_costs(measure, TOKENS), counted(inner, measure)
    eb.prune(model, eb.Ticket.random(anatomy, eb.PruningConfig(**{measure: 0.6}, tokens=TOKENS)))
    saved = before - counted(inner, measure)
    assert saved >= 0.4 * costs.whole - 1e-6
    assert saved <= 0.4 * costs.whole + max(max(row) for row in costs.units.values()) * 2 + max(costs.groups)


def test_a_compiled_model_and_one_that_trains_in_bfloat16_are_counted_as_they_are_without():
    plain = build("bert")
    expected = eb.Anatomy.of(plain).unit_costs("flops", TOKENS)
    compiled, checkpointed = torch.compile(build("bert")), build("bert", dtype=torch.bfloat16).train()
    checkpointed.gradient_checkpointing_enable()
    assert eb.Anatomy.of(compiled).unit_costs("flops", TOKENS) == expected
    assert eb.Anatomy.of(checkpointed).unit_costs("flops", TOKENS) == expected


def test_attention_that_the_example_does_not_run_is_named():
    config = {"is_decoder": True, "add_cross_attention": True, "num_hidden_layers": 1}
    model = BertModel(BertConfig(**{**TEXT, **config}))
    with pytest.raises(eb.InputError, match=r"crossattention.* has no FLOPs.*exclude="):
        eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(flops=0.5))
    assert eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(flops=0.5, exclude=["*crossattention*"]))


def test_a_config_that_says_no_size_of_an_input_is_told_and_does_not_hinder_a_search_by_ratios(tmp_path):
    model = build("vit")
    vars(model.config)["image_size"] = (16, 16, 16)  # as a config of one's own may have
    with pytest.raises(eb.InputError, match="says no size that an input can have"):
        eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(flops=0.5))
    search = eb.Search(model, eb.SearchConfig(), total_steps=10, recording=eb.Recording(tmp_path))
    search.detach()
    assert eb.Trajectory.open(tmp_path).shape.costs is None


@pytest.mark.parametrize(("heads", "neurons"), [(7, 77), (14, 77), (15, 77)])
def test_a_record_opens_whatever_the_shares_of_its_units_round_to(heads, neurons, tmp_path):
    sizes = {"hidden_size": 4 * heads, "num_attention_heads": heads, "intermediate_size": neurons}
    model = BertModel(BertConfig(**{**TEXT, **sizes, "num_hidden_layers": 3}))
    eb.Search(model, eb.SearchConfig(tokens=16), total_steps=10, recording=eb.Recording(tmp_path)).detach()
    costs = eb.Trajectory.open(tmp_path).shape.costs
    assert costs.fixed == 0
    assert costs == eb.Anatomy.of(model).unit_costs("flops", 16)
