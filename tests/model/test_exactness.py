"""Every named family: removing units is the same as masking them, in outputs, gradients and generation."""

from __future__ import annotations

import copy

import pytest
import torch
from comparison import (
    gradient_difference,
    masked_and_pruned,
    outputs,
    parameters,
    prune_repeatedly,
    relative_difference,
    ticket_for,
)
from families import FAMILIES, WITHOUT_SDPA, WITHOUT_STATIC_CACHE, build, inputs

import earlybird as eb
from earlybird.surgery.outputs import largest_difference

GENERATING = [name for name, (*_, reads) in FAMILIES.items() if reads in ("prompt", "sequence", "sound")]


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("name", FAMILIES)
def test_pruned_equals_masked(name, kernel):
    if kernel == "sdpa" and name in WITHOUT_SDPA:
        pytest.skip(f"{name} has eager attention only")
    model = build(name, kernel)
    masked, pruned = masked_and_pruned(model, ticket_for(model))
    assert parameters(pruned) < parameters(model)
    for padded in (True, False):
        batch = inputs(name, masked=padded)
        dense, zeroed, removed = (outputs(m, batch) for m in (model, masked, pruned))
        size = max(float(tensor.abs().max()) for tensor in zeroed)
        assert 0 < size < 1e4
        assert relative_difference(zeroed, removed) < 1e-5
        assert largest_difference(dense, zeroed) > 1e-2 * min(1, size)


@pytest.mark.parametrize("name", ["bert", "llama", "bart"])
def test_under_flex_attention(name):
    model = build(name, "flex_attention")
    # Compiling it for a CPU takes minutes; the arithmetic is the same without.
    with torch.compiler.set_stance("force_eager"):
        masked, pruned = masked_and_pruned(model, ticket_for(model))
        for padded in (True, False):
            batch = inputs(name, masked=padded)
            assert relative_difference(outputs(masked, batch), outputs(pruned, batch)) < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_in_bfloat16(name):
    model = build(name, dtype=torch.bfloat16)
    batch = inputs(name, torch.bfloat16)
    masked, pruned = masked_and_pruned(model, ticket_for(model))
    zeroed, removed = outputs(masked, batch), outputs(pruned, batch)
    size = max(float(tensor.abs().max()) for tensor in zeroed)
    assert {tensor.dtype for tensor in pruned.parameters()} == {torch.bfloat16}
    assert largest_difference(zeroed, removed) < 0.05 * size


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_of_what_is_kept_are_equal(name):
    model = build(name)
    assert gradient_difference(model, ticket_for(model), inputs(name)) < 1e-5


@pytest.mark.parametrize("name", GENERATING)
def test_generation_with_a_cache_and_padded_prompts(name):
    model = build(name)
    ticket = ticket_for(model)
    batch = {key: value for key, value in inputs(name).items() if key != "decoder_input_ids"}
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    settings |= {"output_logits": True, "return_dict_in_generate": True}
    masked = eb.apply_mask(copy.deepcopy(model), ticket).generate(**batch, **settings)
    pruned = eb.prune(model, ticket)
    static = [] if name in WITHOUT_STATIC_CACHE else [{"cache_implementation": "static"}]
    for cache in ({}, {"use_cache": False}, *static):
        found = pruned.generate(**batch, **settings, **cache)
        assert torch.equal(found.sequences, masked.sequences)
        assert largest_difference(found.logits, masked.logits) < 1e-3


@pytest.mark.thorough
@pytest.mark.parametrize("name", FAMILIES)
def test_five_times_in_a_row(name):
    model = build(name)
    sizes = [parameters(model)]
    for difference, size in prune_repeatedly(model, inputs(name)):
        assert difference < 1e-5
        sizes.append(size)
    assert sizes == sorted(set(sizes), reverse=True)
