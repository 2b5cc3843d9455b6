"""Keys, values and queries made of latents (DeepSeek): heads go out of the projections from them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import transformers as hf
from comparison import gradient_difference, prune_repeatedly

import earlybird as eb
from earlybird.surgery.outputs import largest_difference, output_tensors

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "kv_lora_rank": 12,
    "q_lora_rank": 20,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
DENSE = {"first_k_dense_replace": 2, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1}
MODELS = {
    "deepseek-v3": (hf.DeepseekV3ForCausalLM, hf.DeepseekV3Config, {**SIZES, **DENSE}),
    "deepseek-v3, whole queries": (
        hf.DeepseekV3ForCausalLM,
        hf.DeepseekV3Config,
        {**SIZES, **DENSE, "q_lora_rank": None},
    ),
    "deepseek-v2": (hf.DeepseekV2ForCausalLM, hf.DeepseekV2Config, {**SIZES, **DENSE}),
    "minicpm3": (hf.MiniCPM3ForCausalLM, hf.MiniCPM3Config, SIZES),
}
UNEVEN = [[0, 1, 1, 0, 1, 1, 0, 1], [1, 1, 0, 0, 0, 0, 0, 1]]
TOKENS = {"input_ids": torch.randint(5, 60, (2, 7), generator=torch.Generator().manual_seed(1))}
every = pytest.mark.parametrize("name", MODELS)


def build(name):
    model_class, config_class, settings = MODELS[name]
    torch.manual_seed(0)
    model = model_class._from_config(config_class(**settings), attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model.eval()


def ticket_of(model, masks=UNEVEN):
    neurons = np.arange(40) % 5 > np.array([[0], [1]])
    return eb.Ticket.of(eb.Anatomy.of(model), {"heads": np.array(masks, dtype=bool), "neurons": neurons})


def outputs(model):
    with torch.no_grad():
        return output_tensors(model(**TOKENS))[:1]


def difference(model, other):
    return largest_difference(outputs(model), outputs(other)) / float(outputs(other)[0].abs().max())


@every
def test_pruned_equals_masked_also_saved_and_loaded(name, tmp_path):
    model = build(name)
    found = [(block.units, block.groups, block.unit_size, block.value_size) for block in eb.Anatomy.of(model).attention]
    assert found == [(8, 8, 10, 6)] * 2
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket_of(model)), eb.prune(model, ticket_of(model))
    assert difference(pruned, masked) < 1e-5
    eb.save(pruned, tmp_path)
    for again in (eb.load(tmp_path), hf.AutoModelForCausalLM.from_pretrained(tmp_path)):
        assert difference(again, masked) < 1e-5


@every
def test_each_head_loses_its_rows_and_columns(name):
    model = build(name)
    eb.prune(model, ticket_of(model))
    for layer, heads in zip(model.model.layers, (5, 3), strict=True):
        attention = layer.self_attn
        queries = attention.q_proj if getattr(attention, "q_proj", None) is not None else attention.q_b_proj
        assert queries.weight.shape[0] == heads * 10
        assert attention.kv_b_proj.weight.shape == (heads * 12, 12)
        assert attention.o_proj.weight.shape == (32, heads * 6)
        assert attention.kv_a_proj_with_mqa.weight.shape == (12 + 4, 32)


@every
def test_gradients_and_repeated_pruning(name):
    model = build(name)
    assert gradient_difference(model, ticket_of(model), TOKENS) < 1e-5
    for found, _ in prune_repeatedly(model, TOKENS):
        assert found < 1e-5


@every
@pytest.mark.parametrize("masks", [UNEVEN, [UNEVEN[0], [0] * 8]], ids=["some heads", "a layer without heads"])
def test_generation_with_a_cache(name, masks):
    model = build(name)
    ticket = ticket_of(model, masks)
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    settings |= {"output_logits": True, "return_dict_in_generate": True}
    masked = eb.apply_mask(copy.deepcopy(model), ticket).generate(**TOKENS, **settings)
    pruned = eb.prune(model, ticket)
    for cache in ({}, {"use_cache": False}, {"cache_implementation": "static"}):
        found = pruned.generate(**TOKENS, **settings, **cache)
        assert torch.equal(found.sequences, masked.sequences)
        assert largest_difference(found.logits, masked.logits) < 1e-3


@every
def test_a_uniform_ticket_is_said_by_the_config(name, tmp_path):
    model = build(name)
    rotated = model.config.head_dim if hasattr(model.config, "head_dim") else None
    config = eb.PruningConfig(heads=0.5, neurons=0.4, uniform=True)
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), config, seed=1))
    eb.save(model, tmp_path)
    assert not hasattr(model.config, "quantization_config")
    assert (model.config.num_attention_heads, model.config.num_key_value_heads) == (4, 4)
    assert getattr(model.config, "head_dim", None) == rotated
    assert difference(type(model).from_pretrained(tmp_path), model) < 1e-5


@every
def test_scaling_the_scores_before_the_softmax_is_folded(name):
    model = build(name)
    slimming = eb.Search(
        model, eb.SearchConfig(heads=0.5, neurons=0.4, slim="before", detector="hamming"), total_steps=10
    )
    (model(**TOKENS, labels=TOKENS["input_ids"]).loss + slimming.penalty()).backward()
    slimming.step()
    scaled = outputs(model)
    slimming.finish()
    assert largest_difference(outputs(model), scaled) < 1e-4 * float(scaled[0].abs().max())
