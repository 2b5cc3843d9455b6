"""Blocks that go whole: what is left of them is their bias, in outputs, gradients, files, exports and generation."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
import transformers as hf
from comparison import a_little, gradient_difference, masked_and_pruned, outputs, parameters, relative_difference
from families import FAMILIES, GROUPED, TEXT, VISION, WITHOUT_SDPA, WITHOUT_STATIC_CACHE, build, inputs
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig

import earlybird as eb
from earlybird.surgery.outputs import largest_difference, output_tensors

# Their attention adds the residual, or a norm, itself.
REFUSED = ("albert", "bloom")
ALLOWED = [name for name in FAMILIES if name not in REFUSED]
GENERATING = [name for name in ALLOWED if FAMILIES[name][3] in ("prompt", "sequence", "sound")]


def without_blocks(model, seed=0):
    """A ticket that takes every second block whole, the first attention among them, and thins out the others.

    Experts cannot go whole: they are thinned out.
    """
    anatomy = eb.Anatomy.of(model)
    chance = np.random.default_rng(seed)
    masks = {}
    for first, (kind, units) in zip((0, 1), anatomy.units.items(), strict=False):
        random = eb.Ticket.random(anatomy, eb.PruningConfig(**{kind: 0.4}), seed=int(chance.integers(99)))
        masks[kind] = random.masks[kind].copy()
        if kind == "heads" or anatomy.expert_groups is None:
            masks[kind][first % len(units) :: 2] = False
    return eb.Ticket.of(anatomy, masks)


def gone(model):
    return {(block.kind, block.name) for block in eb.Anatomy.of(model).gone}


def taken_by(ticket):
    return {
        (kind, name)
        for kind, names in ticket.blocks.items()
        for name, kept in zip(names, ticket.kept(kind), strict=True)
        if not kept
    }


def without_gradient(model, batch):
    """Names of the parameters that train and get no gradient: several processes would wait for it."""
    model.zero_grad()
    sum(tensor.square().mean() for tensor in output_tensors(model.train()(**batch))).backward()
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None}


@pytest.mark.parametrize("name", ALLOWED)
def test_pruned_equals_masked_in_outputs_and_gradients(name):
    model = build(name, "eager" if name in WITHOUT_SDPA else "sdpa")
    ticket = without_blocks(model)
    masked, pruned = masked_and_pruned(model, ticket)
    assert gone(pruned) == taken_by(ticket)
    for padded in (True, False):
        batch = inputs(name, masked=padded)
        assert relative_difference(outputs(masked, batch), outputs(pruned, batch)) < 1e-5
    assert gradient_difference(model, ticket, inputs(name)) < 1e-5
    assert without_gradient(pruned, inputs(name)) <= without_gradient(model, inputs(name))
    block = next(block for block in eb.Anatomy.of(pruned).gone if block.kind == "heads")
    assert sum(p.numel() for path in block.projections[:-1] for p in pruned.get_submodule(path).parameters()) == 0


@pytest.mark.parametrize("name", REFUSED)
def test_an_attention_that_does_more_is_refused_by_name_and_left_alone(name):
    model = build(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(eb.InputError, match=r"attention \(\w+\) cannot lose its last head: .*whole_blocks=False"):
        eb.prune(model, without_blocks(model))
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert not gone(model)


@pytest.mark.parametrize("name", REFUSED)
def test_its_mlps_may_go(name):
    model = build(name)
    anatomy = eb.Anatomy.of(model)
    mask = np.ones((len(anatomy.mlp), anatomy.mlp[0].units), dtype=bool)
    mask[0] = False
    masked, pruned = masked_and_pruned(model, eb.Ticket.of(anatomy, {"neurons": mask}))
    assert relative_difference(outputs(masked, inputs(name)), outputs(pruned, inputs(name))) < 1e-5


@pytest.mark.thorough
@pytest.mark.parametrize("name", ALLOWED)
def test_it_is_pruned_further(name):
    model = build(name)
    sizes = [parameters(model)]
    eb.prune(model, without_blocks(model))
    sizes.append(parameters(model))
    for seed in range(4):
        anatomy = eb.Anatomy.of(model)
        ticket = eb.Ticket.random(anatomy, a_little(anatomy), seed=seed)
        masked = eb.apply_mask(copy.deepcopy(model), ticket)
        eb.prune(model, ticket)
        assert relative_difference(outputs(masked, inputs(name)), outputs(model, inputs(name))) < 1e-5
        sizes.append(parameters(model))
    assert sizes[1] < sizes[0]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_at_last_nothing_is_left_to_prune(name):
    model = build(name)
    anatomy = eb.Anatomy.of(model)
    masks = {kind: np.zeros((len(units), max(units)), dtype=bool) for kind, units in anatomy.units.items()}
    masked, pruned = masked_and_pruned(model, eb.Ticket.of(anatomy, masks))
    assert relative_difference(outputs(masked, inputs(name)), outputs(pruned, inputs(name))) < 1e-5
    left = eb.Anatomy.of(pruned)
    assert (left.attention, left.mlp, left.units) == ((), (), {})
    assert "no heads left" in str(left)
    with pytest.raises(eb.InputError, match=r"nothing|no heads"):
        eb.Ticket.random(left, eb.PruningConfig(heads=0.5))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ALLOWED)
def test_saved_and_loaded_twice(name, tmp_path):
    model = build(name)
    ticket = without_blocks(model)
    pruned = eb.prune(model, ticket)
    eb.save(pruned, tmp_path / "first", ticket=ticket)
    batch = inputs(name, masked=False)
    expected, silent = outputs(pruned, batch), without_gradient(pruned, batch)
    again = type(pruned).from_pretrained(tmp_path / "first", attn_implementation="eager")
    again.save_pretrained(tmp_path / "second")
    weights = eb.load(tmp_path / "first").state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in pruned.state_dict().items())
    for loaded in (again, type(pruned).from_pretrained(tmp_path / "second", attn_implementation="eager")):
        assert gone(loaded) == gone(pruned)
        assert largest_difference(expected, outputs(loaded.eval(), batch)) < 1e-5
        assert without_gradient(loaded, batch) <= silent
    card = (tmp_path / "first" / "README.md").read_text()
    kind, block = sorted(gone(pruned))[0]
    assert f"| {kind} | 0 |" in next(row for row in card.splitlines() if row.startswith(f"| {block} "))


@pytest.mark.parametrize("change", ["another", "negative", "many", "list"])
def test_a_damaged_config_is_refused(change, tmp_path):
    model = build("bert")
    eb.prune(model, without_blocks(model)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    said = config["quantization_config"]
    (block,) = said["returned"]
    said["returned"] = {"another": {"x": "y"}, "negative": {block: -1}, "many": {block: 10**9}, "list": [block]}[change]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(eb.InputError, match="config is damaged: returned must hold numbers"):
        hf.BertModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", GENERATING)
def test_generation_with_a_cache_and_padded_prompts(name):
    model = build(name)
    ticket = without_blocks(model)
    batch = {key: value for key, value in inputs(name).items() if key != "decoder_input_ids"}
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    settings |= {"output_logits": True, "return_dict_in_generate": True}
    masked = eb.apply_mask(copy.deepcopy(model), ticket).generate(**batch, **settings)
    pruned = eb.prune(model, ticket)
    static = [] if name in WITHOUT_STATIC_CACHE else [{"cache_implementation": "static"}]
    for cache in ({}, {"use_cache": False}, {"num_beams": 2}, *static):
        found = pruned.generate(**batch, **settings, **cache)
        assert found.sequences.shape == masked.sequences.shape
        if "num_beams" not in cache:
            assert torch.equal(found.sequences, masked.sequences)
            assert largest_difference(found.logits, masked.logits) < 1e-3


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in ALLOWED if name != "t5"])
def test_the_dense_export_computes_the_same(name, tmp_path):
    model = build(name)
    ticket = without_blocks(model)
    pruned = eb.prune(copy.deepcopy(model), ticket)
    eb.export(pruned, tmp_path, ticket=ticket)
    dense = type(model).from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert eb.Anatomy.of(dense).units == eb.Anatomy.of(model).units
    assert relative_difference(outputs(pruned, inputs(name)), outputs(dense, inputs(name))) < 1e-5


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["bert", "vit"])
def test_as_an_onnx_graph(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = build(name)
    eb.prune(model, without_blocks(model))
    eb.export(model, tmp_path, format="onnx")
    batch = inputs(name)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    if "token_type_ids" in [value.name for value in session.get_inputs()]:
        batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])
    found = session.run(None, {key: value.numpy() for key, value in batch.items()})
    np.testing.assert_allclose(found[0], outputs(model, batch)[0].numpy(), atol=1e-4)


def test_the_config_of_each_layer_leaves_out_what_has_no_bias(tmp_path):
    model = build("llama")
    eb.prune(model, without_blocks(model))
    eb.export(model, tmp_path, format="per-layer-config")
    layers = AutoConfig.from_pretrained(tmp_path).per_layer_config
    assert [layer.skip for layer in layers] == [["attention"], ["mlp"]]
    assert layers[0].intermediate_size == eb.Anatomy.of(model).units["neurons"][0]
    assert layers[1].num_attention_heads == eb.Anatomy.of(model).units["heads"][0]


def test_the_config_of_each_layer_says_no_neurons_where_a_bias_stays(tmp_path):
    model = build("bert")
    anatomy = eb.Anatomy.of(model)
    mask = np.ones((2, anatomy.mlp[0].units), dtype=bool)
    mask[1] = False
    eb.prune(model, eb.Ticket.of(anatomy, {"neurons": mask}))
    eb.export(model, tmp_path, format="per-layer-config")
    layers = AutoConfig.from_pretrained(tmp_path).per_layer_config
    assert [layer.intermediate_size for layer in layers] == [anatomy.mlp[0].units, 0]


def test_a_bias_that_the_config_of_a_layer_would_leave_out_is_refused(tmp_path):
    config = hf.LlamaConfig(**GROUPED, attention_bias=True)
    model = hf.LlamaForCausalLM(config)
    eb.prune(model, without_blocks(model))
    with pytest.raises(eb.InputError, match="the bias of its output projection stays"):
        eb.export(model, tmp_path / "out", format="per-layer-config")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["bert", "llama", "gpt2", "vit"])
def test_compensation_moves_the_mean_of_what_is_gone_into_the_bias(name):
    """Of a block without units nothing but a constant is left: the best one is the mean, where there is a bias."""
    model = build(name)
    anatomy = eb.Anatomy.of(model)
    masks = {kind: np.ones((len(units), max(units)), dtype=bool) for kind, units in anatomy.units.items()}
    masks["neurons"][-1] = False
    last = model.get_submodule(anatomy.mlp[-1].output)
    given = []
    handle = last.register_forward_hook(lambda _, __, output: given.append(output.detach()))
    batch = inputs(name, masked=False)
    outputs(model, batch)
    handle.remove()
    pruned = eb.prune(copy.deepcopy(model), eb.Ticket.of(anatomy, masks), compensate=[batch])
    bias = pruned.get_submodule(anatomy.mlp[-1].output).bias
    if name == "llama":
        assert bias is None
    else:
        torch.testing.assert_close(bias.detach(), given[0].flatten(0, -2).mean(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fused", [False, True])
def test_an_optimizer_goes_on(fused):
    model = build("bert").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=fused)

    def step():
        optimizer.zero_grad()
        loss = model(**inputs("bert")).last_hidden_state.square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        optimizer.step()
        return float(loss.detach())

    before = step()
    eb.prune(model, without_blocks(model), optimizer=optimizer)
    losses = [step() for _ in range(20)]
    assert losses[-1] < losses[0] < 10 * before
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("bert", ["query", "value", "dense"]),
        ("llama", ["q_proj", "o_proj", "down_proj"]),
        ("gpt2", ["c_attn", "c_proj"]),
    ],
)
def test_adapters_go_along(name, targets):
    model = get_peft_model(build(name), LoraConfig(r=4, target_modules=targets)).eval()
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            if "lora_B" in path:
                parameter.normal_(std=0.2)
    masked, pruned = masked_and_pruned(model, without_blocks(model))
    assert gone(pruned)
    assert relative_difference(outputs(masked, inputs(name)), outputs(pruned, inputs(name))) < 1e-5
    merged = pruned.merge_and_unload()
    assert relative_difference(outputs(masked, inputs(name)), outputs(merged, inputs(name))) < 1e-5


def test_a_search_goes_on_beside_what_is_gone():
    model = build("bert").train()
    eb.prune(model, without_blocks(model))
    search = eb.Search(model, eb.SearchConfig(heads=0.3, neurons=0.4, score="squared-gradient"), total_steps=40)
    for _ in range(3):
        model.zero_grad()
        model(**inputs("bert")).last_hidden_state.square().mean().backward()
        search.step()
    ticket = search.draw_now()
    search.finish()
    assert set(ticket.blocks["heads"]) == set(eb.Anatomy.of(model).names["heads"])


def test_what_is_not_saved_of_an_attention_is_not_saved_without_heads(tmp_path):
    settings = {
        "vocab_size": 60,
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global"], 2]],
    }
    model = hf.GPTNeoForCausalLM(hf.GPTNeoConfig(**settings)).eval()
    ticket = without_blocks(model)
    names = set(model.state_dict())
    pruned = eb.prune(copy.deepcopy(model), ticket)
    assert gone(pruned)
    assert set(pruned.state_dict()) == names
    eb.export(pruned, tmp_path, ticket=ticket)
    dense = type(model).from_pretrained(tmp_path).eval()
    batch = {"input_ids": torch.arange(5, 12)[None]}
    assert relative_difference(outputs(pruned, batch), outputs(dense, batch)) < 1e-5
    settings = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(pruned.generate(**batch, **settings), dense.generate(**batch, **settings))


def test_shapes_alone_can_be_pruned():
    with torch.device("meta"):
        model = hf.BertModel(hf.BertConfig(**TEXT))
    eb.prune(model, without_blocks(model))
    assert len(gone(model)) == 2


def test_a_whole_model_tells_what_an_unknown_attention_returns():
    """Where an attention cannot be run by itself, a batch of the user's shows what it returns."""
    model = hf.ViTModel(hf.ViTConfig(**VISION))
    ticket = without_blocks(model)
    assert eb.verify(model, ticket, inputs("vit")) < 1e-5
    eb.prune(model, ticket, inputs=inputs("vit"))
    assert gone(model)
