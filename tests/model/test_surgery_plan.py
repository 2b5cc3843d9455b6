"""A plan says beforehand what surgery does; carrying it out looks at a model once, and leaves its config alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comparison import ticket_for
from families import build

import earlybird as eb
from earlybird.anatomy.bias_tables import untied
from earlybird.checkpoint.quantizer import PrunedConfig, resize
from earlybird.surgery.model_edit import ModelEdit
from earlybird.surgery.plan import plan_surgery
from earlybird.surgery.remove_units import remove_units

BIASED = ["t5", "mpnet", "bloom", "falcon, alibi", "beit, one bias for all layers"]


@pytest.fixture
def looked_at(monkeypatch):
    """The models whose anatomy was taken."""
    models, of = [], eb.Anatomy.of

    def counting(model, **arguments):
        models.append(model)
        return of(model, **arguments)

    monkeypatch.setattr(eb.Anatomy, "of", counting)
    return models


@pytest.mark.parametrize("name", [*BIASED, "beit", "bert"])
def test_the_parts_of_an_untied_block_are_those_found_once_it_is_untied(name):
    model = build(name)
    tied = eb.Anatomy.of(model)
    expected = [untied(block) for block in tied.attention]
    edit = ModelEdit(model)
    for block in tied.attention:
        edit.untie(block)
    found = eb.Anatomy.of(model).attention
    assert list(found) == expected
    assert (expected != list(tied.attention)) == (name in BIASED)
    for block, again in zip(expected, found, strict=True):
        for part, other in zip(block.parts, again.parts, strict=True):
            np.testing.assert_array_equal(part.unit_of, other.unit_of)
    assert [untied(block) for block in found] == expected
    edit.undo()
    assert eb.Anatomy.of(model) == tied


@pytest.mark.parametrize("name", [*BIASED, "bert", "gpt2", "llama", "falcon, grouped"])
def test_the_plan_tells_every_new_shape(name):
    model = build(name)
    plan = plan_surgery(eb.Anatomy.of(model), ticket_for(model))
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    shapes |= {copy: list(shapes[original]) for copy, original in plan.copies.items()}
    buffers = []
    for cut in plan.cuts:
        if cut.parameter not in shapes:
            buffers.append(cut.parameter)
            shapes[cut.parameter] = [0]
        assert len(cut.index) != shapes[cut.parameter][cut.dim]
        shapes[cut.parameter][cut.dim] = len(cut.index)
    assert all(buffer.endswith("kept_heads") for buffer in buffers)
    remove_units(model, plan)
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == shapes
    assert bool(plan.untied) == (name in BIASED)


def test_neurons_alone_untie_nothing():
    anatomy = eb.Anatomy.of(build("t5"))
    plan = plan_surgery(anatomy, eb.Ticket.random(anatomy, eb.PruningConfig(neurons=0.5)))
    assert not plan.untied
    assert not plan.copies
    assert {block.name for block, _ in plan.changed} == set(anatomy.names["neurons"])


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_pruning_looks_at_a_model_once_before_and_once_after(name, looked_at):
    model = build(name)
    optimizer = torch.optim.AdamW(model.parameters())
    ticket = ticket_for(model)
    looked_at.clear()
    eb.prune(model, ticket, optimizer=optimizer)
    assert sum(seen is model for seen in looked_at) == 2


def test_loading_looks_at_a_model_once_before_and_once_after(looked_at, tmp_path):
    model = build("t5")
    eb.save(eb.prune(model, ticket_for(model)), tmp_path)
    looked_at.clear()
    again = type(model).from_pretrained(tmp_path)
    assert sum(seen is again for seen in looked_at) == 2
    assert again.config.quantization_config == model.config.quantization_config


def test_removing_units_leaves_the_config_alone():
    small, model, again = build("bert"), build("bert"), build("bert")
    ticket = ticket_for(model)
    before = model.config.to_dict()
    after = remove_units(model, plan_surgery(eb.Anatomy.of(model), ticket))
    assert after == eb.Anatomy.of(model)
    assert model.config.to_dict() == before
    said = eb.prune(small, ticket).config.quantization_config
    assert resize(again, PrunedConfig(**said)).units == after.units
    assert again.config.to_dict() == before


@pytest.mark.parametrize("name", ["t5", "bloom"])
def test_what_goes_wrong_late_is_undone_as_a_whole(name):
    model = build(name)
    anatomy, ticket = eb.Anatomy.of(model), ticket_for(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters())
    held = [id(parameter) for parameter in optimizer.param_groups[0]["params"]]
    # What the block gives depends on its number of heads: it shows once they are gone.
    output = model.get_submodule(anatomy.attention[0].output)
    output.register_forward_hook(lambda module, _, result: result * module.in_features)
    with pytest.raises(eb.InputError, match="with its units removed than with the same units masked"):
        eb.prune(model, ticket, optimizer=optimizer)
    assert eb.Anatomy.of(model) == anatomy
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert [id(parameter) for parameter in model.parameters()] == held
    assert [id(parameter) for parameter in optimizer.param_groups[0]["params"]] == held
