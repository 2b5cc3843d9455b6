"""An average of the weights beside a search: it is pruned along with the model, and stays the average."""

from __future__ import annotations

import pytest
import torch
from families import build, inputs
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import earlybird as eb

STEPS = 12
CONFIG = eb.SearchConfig(heads=0.4, neurons=0.4, score="squared-gradient", detector="fixed-time", threshold=0.5)


def by_hand(states, decay):
    """The average of the state dicts (step by step) of one model, in float64."""
    average = {name: value.double() for name, value in states[0].items()}
    for count, state in enumerate(states[1:], 1):
        share = 1 / (count + 1) if decay is None else 1 - decay
        average = {name: value + share * (state[name].double() - value) for name, value in average.items()}
    return average


def state_of(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("begun", [0, 3])
@pytest.mark.parametrize("decay", [None, 0.9])
def test_the_average_is_pruned_along_and_goes_on(decay, begun):
    model = build("bert").train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    average = None if decay is None else get_ema_multi_avg_fn(decay)
    averaged = AveragedModel(model, multi_avg_fn=average)
    search = eb.Search(model, CONFIG, total_steps=STEPS)
    states, ticket, cut = [], None, 0
    for step in range(STEPS):
        if step == begun != 0:
            averaged = AveragedModel(model, multi_avg_fn=average)  # copied while the search is on the model
        model(**inputs("bert")).last_hidden_state.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        if step >= begun:
            averaged.update_parameters(model)
            states.append(state_of(model))
        if ticket is None and (ticket := search.step()) is not None:
            search.finish()
            eb.prune(model, ticket, optimizer=optimizer)
            eb.prune(averaged.module, ticket)
            cut = len(states)
    assert 0 < cut < len(states)
    for place, state in enumerate(states[:cut]):
        before = build("bert")
        before.load_state_dict(state)
        states[place] = eb.prune(before, ticket).state_dict()
    expected, found = by_hand(states, decay), averaged.module.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-5, atol=1e-6)
    weight = "encoder.layer.0.output.dense.weight"
    assert (found[weight] - states[-1][weight]).abs().max() > 1e-3


def test_an_average_begun_among_trained_coefficients_is_not_pruned_without_them():
    model = build("bert").train()
    search = eb.Search(model, eb.SearchConfig(heads=0.4, score="coefficient"), total_steps=STEPS)
    averaged = AveragedModel(model)
    search.finish()
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.4))
    with pytest.raises(eb.InputError, match="slimming coefficients are still attached"):
        eb.prune(averaged.module, ticket)
