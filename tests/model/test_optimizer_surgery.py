"""An optimizer taken along in the surgery goes on exactly as one whose model was masked."""

from __future__ import annotations

import copy

import pytest
import torch
from families import build, inputs
from transformers import BertConfig, BertForSequenceClassification

import earlybird as eb

TOKENS = torch.randint(5, 60, (4, 9), generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 1, 0])


def tiny_bert():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForSequenceClassification(config)


def train(model, optimizer, steps):
    losses = []
    for _ in range(steps):
        loss = model(TOKENS, labels=LABELS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9),
        lambda p: torch.optim.Adam([{"params": list(p), "lr": 1e-3}], amsgrad=True),
    ],
    ids=["adamw", "sgd", "amsgrad"],
)
def test_training_goes_on_with_the_sliced_state(make):
    model = tiny_bert()
    optimizer = make(model.parameters())
    train(model, optimizer, 3)
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5), seed=1)
    before = {name: (value, copy.deepcopy(optimizer.state[value])) for name, value in model.named_parameters()}
    eb.prune(model, ticket, optimizer=optimizer)
    held = {id(value) for group in optimizer.param_groups for value in group["params"]}
    assert held == {id(value) for value in model.parameters()}
    assert {id(value) for value in optimizer.state} <= held
    name = "bert.encoder.layer.1.output.dense.weight"
    new = model.get_parameter(name)
    kept = torch.from_numpy(ticket.masks["neurons"][1])
    for key, value in before[name][1].items():
        expected = value[:, kept] if value.ndim == 2 else value
        assert torch.equal(optimizer.state[new][key], expected)
    losses = train(model, optimizer, 3)
    assert losses[-1] < losses[0]


def test_a_state_that_cannot_be_sliced_is_refused_and_nothing_changes():
    model = tiny_bert()
    optimizer = torch.optim.Adafactor(model.parameters(), 1e-2)
    train(model, optimizer, 1)
    before = dict(model.named_parameters())
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5))
    with pytest.raises(eb.InputError, match="make a new one"):
        eb.prune(model, ticket, optimizer=optimizer)
    assert all(before[name] is value for name, value in model.named_parameters())
    assert {id(value) for group in optimizer.param_groups for value in group["params"]} == set(map(id, before.values()))
    train(model, optimizer, 1)


def test_the_optimizer_of_another_model_is_refused():
    model, other = tiny_bert(), tiny_bert()
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5))
    before = dict(model.named_parameters())
    with pytest.raises(eb.InputError, match="another model's"):
        eb.prune(model, ticket, optimizer=torch.optim.AdamW(other.parameters()))
    assert all(before[name] is value for name, value in model.named_parameters())


def test_a_position_bias_that_the_layers_shared_takes_its_state_along():
    model = build("t5")
    tensors = {**inputs("t5"), "labels": torch.randint(5, 60, (2, 4), generator=torch.Generator().manual_seed(0))}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    model(**tensors).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5), seed=1), optimizer=optimizer)
    parameters = dict(model.named_parameters())
    assert sum("relative_attention_bias" in name for name in parameters) > 2  # of every layer, no longer of the first
    held = [id(value) for group in optimizer.param_groups for value in group["params"]]
    assert sorted(held) == sorted(map(id, parameters.values()))
    for name, value in parameters.items():
        assert optimizer.state[value]["exp_avg"].shape == value.shape, name
    # What was copied has a state of its own, or one step would count several times.
    entries = [entry for state in optimizer.state.values() for entry in state.values()]
    assert len({entry.data_ptr() for entry in entries}) == len(entries)
    model(**tensors).loss.backward()
    optimizer.step()
