"""Slimming on the named families: equal to scaling heads and neurons by hand, or refused with the reason."""

from __future__ import annotations

import copy

import pytest
import torch
from families import FAMILIES, GROUPED, MIXTURES, build, inputs
from transformers import Qwen3Config, Qwen3Model

import earlybird as eb
from earlybird.slimming.slimming import Slimming
from earlybird.surgery.outputs import largest_difference, output_tensors

# Why slim="before" is refused where it is.
BIASED = (
    "mpnet",
    "beit",
    "beit, one bias for all layers",
    "swin",
    "t5",
    "falcon, alibi",
    "bloom",
)
# Or its queries are normalised, or it has no kernel but its own.
NOT_BEFORE = (*BIASED, "deberta", "deberta-v2", "qwen3_moe", "gpt_oss", "olmo2")
GATED = ("modernbert", "llama", "mistral", "qwen2", "phi3", "olmo2", "gemma", "t5", *MIXTURES)


def slimmed(model, kind, place):
    """Slimming with coefficients of 0.5 to 1.5, and the coefficients of each block."""
    slimming = Slimming(model, eb.Anatomy.of(model), kinds=[kind], places=dict.fromkeys(("heads", "neurons"), place))
    coefficients = slimming.coefficients[kind]
    torch.manual_seed(3)
    torch.nn.init.uniform_(coefficients.values, -0.5, 0.5)
    return slimming, [
        1 + values[:count].clone()
        for values, count in zip(coefficients.values.detach(), coefficients.units, strict=True)
    ]


def run(model, name, padded=True, times=1):
    """Outputs of a batch, and of the same examples many times, when weights are scaled in place of features."""
    batch = inputs(name, masked=padded)
    with torch.no_grad():
        return output_tensors(
            model(**{key: value.repeat(times, *[1] * (value.ndim - 1)) for key, value in batch.items()})
        )


@pytest.mark.parametrize("kind", ["heads", "neurons"])
@pytest.mark.parametrize("name", FAMILIES)
def test_after_equals_scaling_what_enters_the_output_projection(name, kind):
    model = build(name)
    reference, anatomy = copy.deepcopy(model), eb.Anatomy.of(model)
    slimming, coefficients = slimmed(model, kind, "after")
    for block, scale in zip(anatomy.attention if kind == "heads" else anatomy.mlp, coefficients, strict=True):
        if kind == "neurons" and block.experts:
            parameter = reference.get_parameter(f"{block.name}.down_proj")
            by_expert = scale.reshape(block.experts, -1)
            with torch.no_grad():
                parameter *= by_expert[:, :, None] if parameter.shape[1] == by_expert.shape[1] else by_expert[:, None]
            continue
        output = reference.get_submodule(block.output)
        repeated = scale.repeat_interleave(block.value_size if kind == "heads" else 1)
        output.register_forward_pre_hook(lambda _, args, repeated=repeated: (args[0] * repeated,))
    expected, found = run(reference, name), run(model, name)
    size = max(float(tensor.abs().max()) for tensor in expected)
    assert largest_difference(expected, found) < 1e-5 * max(1, size)
    assert largest_difference(run(reference, name, times=8), run(model, name, times=8)) < 1e-5 * max(1, size)
    assert largest_difference(run(build(name), name), found) > 1e-3 * min(1, size)
    slimming.fold()
    assert largest_difference(expected, run(model, name)) < 1e-4 * max(1, size)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in NOT_BEFORE])
def test_before_equals_scaling_the_scores(name, monkeypatch):
    """The reference scales softmax's arguments inside the eager kernel, per head."""
    # A token before a left-padded prompt sees nothing, of which every kernel makes something else.
    padded = FAMILIES[name][3] != "prompt"
    model = build(name, "sdpa")
    reference, anatomy = copy.deepcopy(model), eb.Anatomy.of(model)
    slimming, coefficients = slimmed(model, "heads", "before")
    found, found_of_many = run(model, name, padded), run(model, name, padded, times=8)
    by_module = {
        id(reference.get_submodule(block.owner)): scale
        for block, scale in zip(anatomy.attention, coefficients, strict=True)
    }
    plain = torch.nn.functional.scaled_dot_product_attention
    current = []

    def scaled(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
        if key.shape[1] != query.shape[1]:
            repeats = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
        scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
        scores = scores * current[-1].view(1, -1, 1, 1)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return scores.softmax(-1) @ value

    for module in reference.modules():
        if id(module) in by_module:
            module.register_forward_pre_hook(lambda m, args: current.append(by_module[id(m)]))
            module.register_forward_hook(lambda m, args, out: (current.pop(), out)[1])
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", scaled)
    current.append(torch.ones(1))
    expected, expected_of_many = run(reference, name, padded), run(reference, name, padded, times=8)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", plain)
    size = max(float(tensor.abs().max()) for tensor in expected)
    assert largest_difference(expected, found) < 1e-4 * max(1, size)
    assert largest_difference(expected_of_many, found_of_many) < 1e-4 * max(1, size)
    assert largest_difference(run(build(name, "sdpa"), name, padded), found) > 1e-4 * min(1, size)
    slimming.fold()
    assert largest_difference(expected, run(model, name, padded)) < 1e-4 * max(1, size)


@pytest.mark.parametrize("name", BIASED)
def test_before_is_refused_where_a_position_bias_is_added(name):
    model = build(name)
    with pytest.raises(eb.InputError, match=r'slim="before" does not work for .*position bias.*use slim="after"'):
        Slimming(model, eb.Anatomy.of(model), kinds=["heads"], places={"heads": "before"})


@pytest.mark.parametrize("make", [lambda: build("olmo2"), lambda: Qwen3Model(Qwen3Config(**GROUPED))])
def test_before_is_refused_where_queries_are_normalised(make):
    model = make()
    with pytest.raises(eb.InputError, match="normalised after their projection"):
        Slimming(model, eb.Anatomy.of(model), kinds=["heads"], places={"heads": "before"})


@pytest.mark.parametrize("name", GATED)
def test_before_is_refused_for_gated_neurons(name):
    model = build(name)
    with pytest.raises(eb.InputError, match=r'neuron_slim="before" .* (gated|one tensor)'):
        Slimming(model, eb.Anatomy.of(model), kinds=["neurons"], places={"neurons": "before"})


def test_before_scales_every_term_of_disentangled_attention(monkeypatch):
    """DeBERTa's query projection makes the position queries too, so all its scores scale alike."""
    model = build("deberta-v2")
    reference, anatomy = copy.deepcopy(model), eb.Anatomy.of(model)
    _, coefficients = slimmed(model, "heads", "before")
    found = run(model, "deberta-v2", padded=False)
    scales = []
    for block, scale in zip(anatomy.attention, coefficients, strict=True):
        attention = reference.get_submodule(block.owner)
        assert attention.share_att_key
        attention.register_forward_pre_hook(lambda *_, scale=scale: scales.append(scale))
    plain = torch.nn.functional.softmax
    monkeypatch.setattr(
        torch.nn.functional, "softmax", lambda scores, **how: plain(scores * scales[-1].view(1, -1, 1, 1), **how)
    )
    # Without padding: a mask would be scaled here, and is not there.
    expected = run(reference, "deberta-v2", padded=False)
    assert largest_difference(expected, found) < 1e-4


@pytest.mark.parametrize("name", ["bert", "llama", "gpt2", "t5"])
def test_a_model_in_mid_search_can_be_copied(name):
    model = build(name)
    search = eb.Search(model, eb.SearchConfig(heads=0.3, neurons=0.4), total_steps=50)
    for coefficients in search.slimming.coefficients.values():
        torch.nn.init.uniform_(coefficients.values, -0.5, 0.5)
    copied = copy.deepcopy(model)
    assert largest_difference(run(model, name), run(copied, name)) == 0
    sum(tensor.sum() for tensor in output_tensors(copied(**inputs(name)))).backward()
    assert all(not coefficients.gradients.any() for coefficients in search.slimming.coefficients.values())


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_checkpointing_and_autocast_give_the_coefficients_their_gradients(name):
    plain, saving = build(name).train(), build(name).train()
    saving.gradient_checkpointing_enable()
    gradients = []
    for model in (plain, saving):
        slimming = Slimming(model, eb.Anatomy.of(model))
        with torch.autocast("cpu", torch.bfloat16):
            outputs = output_tensors(
                model(**inputs(name), use_cache=False) if name == "llama" else model(**inputs(name))
            )
        outputs[0].float().square().mean().backward()
        gradients.append([coefficients.task_gradient.clone() for coefficients in slimming.coefficients.values()])
    for one, other in zip(*gradients, strict=True):
        assert one.any()
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3 * float(one.abs().max()))


def test_a_search_on_grouped_heads_draws_the_same_online_and_offline(tmp_path):
    model = build("llama").train()
    search = eb.Search(
        model, eb.SearchConfig(heads=0.5, detector="hamming"), total_steps=40, recording=eb.Recording(tmp_path)
    )
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    for _ in range(40):
        batch = inputs("llama")
        (model(**batch, labels=batch["input_ids"]).loss + search.penalty()).backward()
        optimizer.step()
        optimizer.zero_grad()
        search.step()
    search.finish()
    offline = eb.detect(eb.Trajectory.open(tmp_path), eb.SearchConfig(heads=0.5, detector="hamming"))
    assert offline.step == search.draw.step
    assert (offline.masks["heads"] == search.ticket.masks["heads"]).all()
    eb.prune(model, search.ticket)
