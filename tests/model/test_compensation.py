"""Compensation: what leaves a pruned block is as near as can be to what left it whole."""

from __future__ import annotations

import contextlib
import copy
from functools import partial

import numpy as np
import pytest
import torch
from comparison import outputs, relative_difference
from families import FAMILIES, MIXTURES, build, inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from sklearn.linear_model import Ridge
from torch import nn
from transformers import BertConfig, BertModel

import earlybird as eb
from earlybird.surgery.compensate import Compensation, compensated
from earlybird.surgery.moments import Moments
from earlybird.surgery.plan import plan_surgery
from earlybird.surgery.refit import refitted


def batches_of(name, count=12, dtype=torch.float32):
    """Random batches of what a family reads, a few of their tokens padding."""
    generator = torch.Generator().manual_seed(3)
    batches = []
    for _ in range(count):
        batch = inputs(name, dtype)
        for key, value in batch.items():
            if value.is_floating_point():
                batch[key] = torch.randn(value.shape, generator=generator).to(dtype)
            elif key != "attention_mask":
                batch[key] = torch.randint(5, 60, value.shape, generator=generator)
        batches.append(batch)
    return batches


def ticket_of(model, seed=0, ratio=0.4):
    anatomy = eb.Anatomy.of(model)
    return eb.Ticket.random(anatomy, eb.PruningConfig(heads=ratio, neurons=ratio if anatomy.mlp else None), seed=seed)


@given(
    tokens=st.integers(20, 60),
    features=st.integers(2, 9),
    ridge=st.sampled_from([0.0, 0.01, 0.1, 1.0]),
    with_bias=st.booleans(),
    offset=st.sampled_from([0.0, 1.0, 1000.0]),
    seed=st.integers(0, 999),
)
def test_the_refit_is_ridge_regression(tokens, features, ridge, with_bias, offset, seed):
    generator = np.random.default_rng(seed)
    mixing = generator.standard_normal((features, features))
    inputs_ = (generator.standard_normal((tokens, features)) @ mixing + offset).astype(np.float32)
    weight = generator.standard_normal((3, features))
    kept = np.zeros(features, dtype=bool)
    kept[: max(1, features // 2)] = True
    generator.shuffle(kept)
    moments = Moments(torch.from_numpy(kept), centred=with_bias)
    for part in np.array_split(inputs_, 3):
        moments.add(torch.from_numpy(part))
    change, shift = refitted(torch.from_numpy(weight), moments, ridge)
    seen = inputs_.astype(np.float64)
    centre = seen.mean(0) if with_bias else np.zeros(features)
    strength = ((seen - centre)[:, kept] ** 2).mean()
    reference = Ridge(alpha=max(ridge, 1e-9) * strength * tokens, fit_intercept=with_bias)
    reference.fit(seen[:, kept], seen[:, ~kept] @ weight[:, ~kept].T)
    expected = reference.predict(seen[:, kept])
    found = seen[:, kept] @ change.numpy().T + (shift.numpy() if with_bias else 0)
    scale = np.abs(seen - centre).max() * np.abs(weight).max() * features
    np.testing.assert_allclose(found, expected, atol=(2e-2 if offset == 1000 else 1e-3) * scale)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), heads=st.booleans())
def test_duplicated_units_cost_nothing(seed, heads):
    """Every unit has a twin, which gives the same; the output projection knows them apart."""
    torch.manual_seed(seed)
    model = build("bert").double()
    layer = model.encoder.layer[0]
    with torch.no_grad():
        if heads:
            for projection in (layer.attention.self.query, layer.attention.self.key, layer.attention.self.value):
                projection.weight[16:] = projection.weight[:16]
                projection.bias[16:] = projection.bias[:16]
        else:
            layer.intermediate.dense.weight[20:] = layer.intermediate.dense.weight[:20]
            layer.intermediate.dense.bias[20:] = layer.intermediate.dense.bias[:20]
    anatomy = eb.Anatomy.of(model)
    kind, units = ("heads", 8) if heads else ("neurons", 40)
    mask = np.ones((2, units), dtype=bool)
    mask[0, units // 2 :] = False
    batches = batches_of("bert")
    expected = outputs(model, batches[0])
    eb.prune(model, eb.Ticket.of(anatomy, {kind: mask}), compensate=batches, ridge=1e-7)
    assert relative_difference(expected, outputs(model, batches[0])) < 1e-4


@contextlib.contextmanager
def outputs_of(module, into):
    handle = module.register_forward_hook(lambda _, __, output: into.append(output.detach().double()))
    try:
        yield
    finally:
        handle.remove()


def error_of_block(name, kind, row, batches, **how):
    """Mean squared error of what leaves a block's output projection, where that block alone is pruned."""
    model = build(name)
    anatomy = eb.Anatomy.of(model)
    mask = np.arange(max(anatomy.units[kind])) < np.asarray(anatomy.units[kind])[:, None]
    groups = anatomy.key_value_groups[row] if kind == "heads" and anatomy.key_value_groups else 1
    units = anatomy.units[kind][row]
    mask[row, :units] = np.tile(np.arange(units // groups) % 2 == 0, groups)
    block = (anatomy.attention if kind == "heads" else anatomy.mlp)[row]
    pruned = eb.prune(copy.deepcopy(model), eb.Ticket.of(anatomy, {kind: mask}), **how)
    dense, small = [], []
    for one, into in ((model, dense), (pruned, small)):
        with outputs_of(one.get_submodule(block.after.path), into):
            for batch in batches:
                outputs(one, batch)
    return float(np.mean([float((a - b).square().mean()) for a, b in zip(dense, small, strict=True)]))


def has_bias(name, kind):
    model = build(name)
    anatomy = eb.Anatomy.of(model)
    block = (anatomy.attention if kind == "heads" else anatomy.mlp)[0]
    return model.get_submodule(block.after.path).bias is not None


@pytest.mark.thorough
@pytest.mark.parametrize("name", FAMILIES)
def test_the_more_it_may_change_the_smaller_is_the_error_of_a_block(name):
    # Without padding, which the sums leave out and the error would count.
    batches = batches_of(name)
    for batch in batches:
        batch.pop("attention_mask", None)
    anatomy = eb.Anatomy.of(build(name))
    for kind in anatomy.units:
        if name in ("albert", "beit, one bias for all layers") and kind == "heads":
            continue  # one module serves several layers, so that what enters it depends on what it gave
        if name in MIXTURES and kind != "heads":
            continue  # no module has what enters the projection of an expert
        plain = mean = error_of_block(name, kind, 0, batches)
        ridge = error_of_block(name, kind, 0, batches, compensate=batches)
        if has_bias(name, kind):
            mean = error_of_block(name, kind, 0, batches, compensate=batches, method="mean")
        else:
            with pytest.raises(eb.InputError, match="has no bias to move the means into"):
                error_of_block(name, kind, 0, batches, compensate=batches, method="mean")
        assert ridge <= mean * 1.001 <= plain * 1.002
        assert ridge < 0.9 * plain


@pytest.mark.parametrize("name", FAMILIES)
def test_pruned_equals_masked_with_the_refitted_projection(name):
    model, batches = build(name), batches_of(name)
    ticket = ticket_of(model)
    masked = copy.deepcopy(model)
    refits = compensated(masked, plan_surgery(eb.Anatomy.of(masked), ticket), Compensation(batches))
    with torch.no_grad():
        for path, value in refits.items():
            masked.get_parameter(path).copy_(value)
    eb.apply_mask(masked, ticket)
    pruned = eb.prune(model, ticket, compensate=batches)
    assert relative_difference(outputs(masked, batches[0]), outputs(pruned, batches[0])) < 1e-5


def test_with_nothing_pruned_nothing_changes():
    model = build("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    everything = eb.Ticket.of(eb.Anatomy.of(model), {"heads": np.ones((2, 8), bool), "neurons": np.ones((2, 40), bool)})
    eb.prune(model, everything, compensate=batches_of("bert"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_block_that_keeps_all_is_not_touched():
    model = build("bert")
    before = model.encoder.layer[1].output.dense.weight.clone()
    mask = np.ones((2, 40), bool)
    mask[0, ::2] = False
    eb.prune(model, eb.Ticket.of(eb.Anatomy.of(model), {"neurons": mask}), compensate=batches_of("bert"))
    assert torch.equal(model.encoder.layer[1].output.dense.weight, before)


def state_after(model, batches, **how):
    model = copy.deepcopy(model)
    return eb.prune(model, ticket_of(model), compensate=batches, **how).state_dict()


def assert_same(first, second, tolerance=0.0):
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=tolerance, atol=tolerance)


def test_padding_is_left_out():
    model, batches = build("bert"), batches_of("bert")
    padded = [
        {
            "input_ids": nn.functional.pad(batch["input_ids"], (0, 9), value=17),
            "attention_mask": nn.functional.pad(batch["attention_mask"], (0, 9)),
        }
        for batch in batches
    ]
    assert_same(state_after(model, batches), state_after(model, padded), 1e-4)


def test_the_decoders_padding_is_left_out_by_its_own_mask():
    model, batches = build("t5"), batches_of("t5")
    padded = []
    for batch in batches:
        visible = torch.ones_like(batch["decoder_input_ids"])
        padded.append(
            {
                **batch,
                "decoder_input_ids": nn.functional.pad(batch["decoder_input_ids"], (0, 3), value=17),
                "decoder_attention_mask": nn.functional.pad(visible, (0, 3)),
            }
        )
    assert_same(state_after(model, batches), state_after(model, padded), 1e-4)


def padded_tokens(batch, by=5):
    return {
        "input_ids": nn.functional.pad(batch["input_ids"], (0, by), value=17),
        "attention_mask": nn.functional.pad(batch["attention_mask"], (0, by)),
    }


@pytest.mark.parametrize("labels", [False, True])
def test_padding_of_a_decoder_alone_is_left_out_in_rows_too(labels):
    model, batches = build("opt"), batches_of("opt")
    for batch in batches:  # padding on the right changes nothing of what comes before it
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    padded = [padded_tokens(batch) for batch in batches]
    if labels:
        padded = [{**batch, "labels": batch["input_ids"]} for batch in padded]
    assert_same(state_after(model, batches), state_after(model, padded), 1e-4)


def test_padding_is_known_by_a_positional_mask_too():
    model, batches = build("bert"), batches_of("bert")
    calls = [partial(lambda one, batch: one(*padded_tokens(batch).values()), batch=batch) for batch in batches]
    assert_same(state_after(model, batches), state_after(model, calls), 1e-4)


def test_labels_that_the_loss_leaves_out_are_padding_of_a_decoder():
    model, batches = build("t5"), batches_of("t5")
    labelled = []
    for batch in batches:
        ids = batch.pop("decoder_input_ids")
        batch["labels"] = ids
        labelled.append({**batch, "labels": nn.functional.pad(ids, (0, 3), value=-100)})
    assert_same(state_after(model, batches), state_after(model, labelled), 1e-4)


@pytest.mark.parametrize("ridge", [0.0, 1e-12])
def test_features_that_depend_on_one_another_need_no_ridge(ridge):
    model = build("bert")
    with torch.no_grad():
        neurons = model.encoder.layer[0].intermediate.dense
        neurons.weight[:] = neurons.weight[:1]
        neurons.bias[:] = neurons.bias[:1]
    expected = outputs(model, batches_of("bert")[0])
    mask = np.ones((2, 40), bool)
    mask[0, ::2] = False
    ticket = eb.Ticket.of(eb.Anatomy.of(model), {"neurons": mask})
    found = outputs(eb.prune(model, ticket, compensate=batches_of("bert"), ridge=ridge), batches_of("bert")[0])
    assert relative_difference(expected, found) < 1e-2


@pytest.mark.parametrize("as_batches", [list, iter], ids=["list", "generator"])
def test_little_memory_takes_more_passes_and_gives_the_same(as_batches):
    model, batches = build("bert"), batches_of("bert")
    expected = state_after(model, batches)
    # The widest moments are those of 40 neurons by 26 kept, with two numbers for each.
    assert_same(expected, state_after(model, as_batches(batches), memory=40 * 28 * 4))
    with pytest.raises(eb.InputError, match=r"take 4,480 bytes.*memory=4,479.*method=\"mean\""):
        state_after(model, batches, memory=40 * 28 * 4 - 1)


def test_the_model_is_seen_as_it_answers_and_left_as_it_trains():
    model = build("bert").train()
    model.encoder.layer[0].attention.output.dropout.p = 0.5
    model.encoder.layer[1].eval()
    state = torch.random.get_rng_state()
    first = state_after(model, batches_of("bert"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert_same(first, state_after(model.eval(), batches_of("bert")))
    model.train()
    eb.prune(model, ticket_of(model), compensate=batches_of("bert"))
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_sums_are_in_float32_under_autocast():
    features, kept = torch.randn(500, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) < 5
    sums = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            moments = Moments(kept, centred=True)
            moments.add(features)
        sums.append(moments.covariance())
    assert torch.equal(*sums)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_in_other_dtypes(dtype):
    model, batches = build("vit", dtype=dtype), batches_of("vit", dtype=dtype)
    found = state_after(model, batches)
    assert {value.dtype for value in found.values()} == {dtype}
    expected = state_after(build("vit"), batches_of("vit"))
    tolerance = 0.1 if dtype == torch.bfloat16 else 1e-3
    for name, value in expected.items():
        torch.testing.assert_close(found[name].float(), value, rtol=tolerance, atol=tolerance)


def test_the_refit_of_a_projection_with_lora_goes_into_its_base():
    torch.manual_seed(0)
    model = build("bert")
    adapted = get_peft_model(
        copy.deepcopy(model),
        LoraConfig(r=2, target_modules=["query", "value", "output.dense"], init_lora_weights=False),
    ).eval()
    merged = copy.deepcopy(adapted).merge_and_unload()
    batches = batches_of("bert")
    ticket = ticket_of(model)
    expected = outputs(eb.prune(merged, ticket, compensate=batches), batches[0])
    eb.prune(adapted, ticket, compensate=batches)
    assert relative_difference(expected, outputs(adapted, batches[0])) < 1e-4
    assert relative_difference(expected, outputs(adapted.merge_and_unload(), batches[0])) < 1e-4


def test_the_optimizer_goes_along():
    model, batches = build("bert"), batches_of("bert")
    optimizer = torch.optim.AdamW(model.parameters())
    model(**batches[0]).last_hidden_state.square().mean().backward()
    optimizer.step()
    eb.prune(model, ticket_of(model), optimizer=optimizer, compensate=batches)
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in model.parameters()}


def too_short(count):
    return [{"input_ids": torch.randint(5, 60, (1, 5))} for _ in range(count)]


@pytest.mark.parametrize(
    ("batches", "how", "said"),
    [
        ([], {}, "holds no batches"),
        (iter([]), {}, "holds no batches"),
        (16, {}, "must be batches to run the model on, got int"),
        ({"input_ids": torch.ones(1, 5, dtype=torch.long)}, {}, r"got dict; .*compensate=\[batch, batch\]"),
        (
            [{"pixel_values": torch.ones(1, 3, 4, 4)}],
            {},
            "does not take batch 0 .*You must specify exactly one of input_ids",
        ),
        ([(1, 2)], {}, "batch 0 .*is a tuple: give the keyword arguments"),
        (too_short(4), {}, "needs at least as many tokens as it keeps features, 22, .*hold 20: give 2 times as many"),
        (too_short(9), {"ridge": -1}, "ridge must be a number of at least 0, got -1"),
        (too_short(9), {"ridge": float("nan")}, "ridge must be a number of at least 0, got nan"),
        (too_short(9), {"method": "median"}, 'method must be "ridge" or "mean", got \'median\''),
        (too_short(9), {"memory": 0}, "memory must be a whole number of bytes, got 0"),
    ],
)
def test_what_cannot_serve_is_refused_and_changes_nothing(batches, how, said):
    model = build("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(eb.InputError, match=said):
        eb.prune(model, ticket_of(model), compensate=batches, **how)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_numbers_that_are_not_finite_are_named():
    model = build("bert")
    with torch.no_grad():
        model.encoder.layer[1].intermediate.dense.weight[0] = float("nan")
    with pytest.raises(eb.InputError, match=r"layer\.1\.output\.dense on these batches is not finite"):
        eb.prune(model, ticket_of(model), compensate=batches_of("bert"))


def test_a_block_that_the_batches_do_not_use_is_named():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = BertModel(BertConfig(**SIZES))
            self.unused = BertModel(BertConfig(**SIZES))

        def forward(self, input_ids):
            return self.used(input_ids)

    model = Half()
    with pytest.raises(eb.InputError, match=r"nothing has entered unused\.encoder\.layer\.0"):
        eb.prune(model, ticket_of(model), compensate=too_short(9))


SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 8, "intermediate_size": 40}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_to_refit_changes_no_model(dtype):
    model = build("vit", dtype=dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plan = plan_surgery(eb.Anatomy.of(model), ticket_of(model))
    assert compensated(model, plan, Compensation(batches_of("vit", dtype=dtype)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_refusal_after_the_refit_undoes_it():
    model = build("bert")
    ticket = ticket_of(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    shared = nn.Sequential(model, nn.Linear(1, 1))
    shared[1].weight = model.encoder.layer[0].output.dense.weight
    with pytest.raises(eb.InputError):
        eb.prune(shared, ticket, compensate=[batch["input_ids"] for batch in batches_of("bert")])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
