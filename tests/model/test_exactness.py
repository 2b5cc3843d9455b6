"""Every named family: removing units is the same as silencing them, in outputs, gradients and generation."""

from __future__ import annotations

import copy

import pytest
import torch
from families import FAMILIES, WITHOUT_NEURONS, WITHOUT_SDPA, build, inputs

import earlybird as eb
from earlybird.outputs import largest_difference, output_tensors
from earlybird.surgery import cuts

GENERATING = [name for name, (*_, reads) in FAMILIES.items() if reads in ("prompt", "sequence", "sound")]


def ticket_for(model, seed=0):
    anatomy = eb.Anatomy.of(model)
    neurons = 0.4 if anatomy.mlp else None
    return eb.Ticket.random(anatomy, heads=0.4, neurons=neurons, seed=seed)


def outputs(model, batch):
    return output_tensors(model(**batch))


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("name", FAMILIES)
def test_pruned_equals_masked(name, kernel):
    if kernel == "sdpa" and name in WITHOUT_SDPA:
        pytest.skip(f"{name} has eager attention only")
    model = build(name, kernel)
    ticket = ticket_for(model)
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(copy.deepcopy(model), ticket)
    assert parameters(pruned) < parameters(model)
    for padded in (True, False):
        batch = inputs(name, masked=padded)
        with torch.no_grad():
            dense, silenced, removed = (outputs(m, batch) for m in (model, masked, pruned))
        size = max(float(tensor.abs().max()) for tensor in silenced)
        assert 0 < size < 1e4
        assert largest_difference(silenced, removed) < 1e-5 * max(1, size)
        assert largest_difference(dense, silenced) > 1e-2 * min(1, size)


@pytest.mark.parametrize("name", FAMILIES)
def test_in_bfloat16(name):
    model = build(name, dtype=torch.bfloat16)
    ticket = ticket_for(model)
    batch = inputs(name, torch.bfloat16)
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(copy.deepcopy(model), ticket)
    with torch.no_grad():
        silenced, removed = outputs(masked, batch), outputs(pruned, batch)
    size = max(float(tensor.abs().max()) for tensor in silenced)
    assert {tensor.dtype for tensor in pruned.parameters()} == {torch.bfloat16}
    assert largest_difference(silenced, removed) < 0.05 * size


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_of_what_is_kept_are_equal(name):
    model = build(name).train()
    ticket = ticket_for(model)
    batch = inputs(name)
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(copy.deepcopy(model), ticket)
    for changed in (masked, pruned):
        sum(tensor.square().mean() for tensor in outputs(changed, batch)).backward()
    sliced = {}
    for cut in cuts(model, eb.Anatomy.of(model), ticket):
        gradient = sliced.get(cut.parameter, masked.get_parameter(cut.parameter).grad)
        sliced[cut.parameter] = None if gradient is None else gradient.index_select(cut.dim, cut.index)
    assert sliced
    for path, parameter in pruned.named_parameters():
        if "relative_attention_bias" in path and name == "t5":
            continue  # one table for the stack before, one for each layer after
        expected = sliced[path] if path in sliced else masked.get_parameter(path).grad
        if expected is None:
            assert parameter.grad is None or not parameter.grad.any()
            continue
        size = float(expected.abs().max())
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-3, atol=1e-4 * max(size, 1e-3))


@pytest.mark.parametrize("name", GENERATING)
def test_generation_with_a_cache_and_padded_prompts(name):
    model = build(name)
    ticket = ticket_for(model)
    batch = {key: value for key, value in inputs(name).items() if key != "decoder_input_ids"}
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    settings |= {"output_logits": True, "return_dict_in_generate": True}
    masked = eb.apply_mask(copy.deepcopy(model), ticket).generate(**batch, **settings)
    pruned = eb.prune(model, ticket)
    for cache in ({}, {"use_cache": False}):
        found = pruned.generate(**batch, **settings, **cache)
        assert torch.equal(found.sequences, masked.sequences)
        assert largest_difference(found.logits, masked.logits) < 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_five_times_in_a_row(name):
    model = build(name)
    batch = inputs(name)
    sizes = [parameters(model)]
    for seed in range(5):
        anatomy = eb.Anatomy.of(model)
        ticket = eb.Ticket.random(anatomy, heads=0.01, neurons=0.1 if anatomy.mlp else None, seed=seed)
        masked = eb.apply_mask(copy.deepcopy(model), ticket)
        eb.prune(model, ticket)
        with torch.no_grad():
            silenced, removed = outputs(masked, batch), outputs(model, batch)
        assert largest_difference(silenced, removed) < 1e-5 * max(1, *(float(t.abs().max()) for t in silenced))
        sizes.append(parameters(model))
    if name in WITHOUT_NEURONS:
        sizes = sizes[:2]
    assert sizes == sorted(set(sizes), reverse=True)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())
