"""Attention whose forward pass takes the number of its heads from the config (Phi-3, Moonshine): blocks may differ."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from families import SEQUENCES, TEXT, build, inputs
from transformers import (
    AutoModelForCausalLM,
    MoonshineConfig,
    MoonshineForConditionalGeneration,
    Phi3Config,
    Phi3ForCausalLM,
)

import earlybird as eb
from earlybird.surgery.outputs import largest_difference, output_tensors

LONG = {
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0, 1.5],
        "long_factor": [2.0, 3.0],
        "partial_rotary_factor": 1.0,
    },
    "original_max_position_embeddings": 32,
}


def uneven(groups="whole"):
    """A pruned model whose layers keep six and four of eight heads, and the same model masked."""
    model = build("phi3")
    anatomy = eb.Anatomy.of(model)
    masks = np.array([[0, 0, 1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0, 1, 1]], dtype=bool)
    if groups == "within":
        masks[1] = [1, 0, 0, 1, 1, 0, 1, 0]
    ticket = eb.Ticket.of(anatomy, {"heads": masks, "neurons": np.arange(40) % 5 > np.array([[0], [1]])})
    return eb.prune(copy.deepcopy(model), ticket), eb.apply_mask(model, ticket)


def logits(model, batch=None):
    # Without padding: of tokens that see nothing, each attention kernel makes something else.
    with torch.no_grad():
        return output_tensors(model(**(batch or inputs("phi3", masked=False))))[:1]


def logits_differ(model, other):
    return largest_difference(logits(model), logits(other)) / float(logits(other)[0].abs().max())


@pytest.mark.parametrize("groups", ["whole", "within"])
def test_layers_keep_different_numbers_of_heads(groups):
    pruned, masked = uneven(groups)
    blocks = eb.Anatomy.of(pruned).attention
    assert [(block.units, block.groups) for block in blocks] == [(6, 3), (4, 4 if groups == "within" else 2)]
    assert logits_differ(pruned, masked) < 1e-5


@pytest.mark.parametrize("groups", ["whole", "within"])
def test_it_is_saved_and_loaded(groups, tmp_path):
    pruned, masked = uneven(groups)
    eb.save(pruned, tmp_path)
    for again in (eb.load(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)):
        assert eb.Anatomy.of(again).units == eb.Anatomy.of(pruned).units
        assert largest_difference(logits(again), logits(pruned)) < 1e-5
        assert logits_differ(again, masked) < 1e-5
    again.save_pretrained(tmp_path / "again")
    assert largest_difference(logits(eb.load(tmp_path / "again")), logits(pruned)) < 1e-5
    eb.export(again, tmp_path / "dense")
    assert logits_differ(Phi3ForCausalLM.from_pretrained(tmp_path / "dense"), masked) < 1e-5


def test_the_models_config_says_the_dense_shape_still():
    pruned, _ = uneven()
    assert pruned.config.num_attention_heads == 8
    assert pruned.config.quantization_config["kept"]["heads"] == [6, 4]


def test_what_is_set_in_the_models_config_later_holds_of_the_blocks():
    pruned, masked = uneven()
    for kernel in ("sdpa", "eager"):
        for model in (pruned, masked):
            model.set_attn_implementation(kernel)
        assert {layer.self_attn.config._attn_implementation for layer in pruned.model.layers} == {kernel}
        assert logits_differ(pruned, masked) < 1e-5
    pruned.config.sliding_window = masked.config.sliding_window = 2
    assert logits_differ(pruned, masked) < 1e-5


def test_copies_keep_their_own_counts():
    pruned, _ = uneven()
    copied = copy.deepcopy(pruned)
    file = io.BytesIO()
    torch.save(pruned, file)
    file.seek(0)
    unpickled = torch.load(file, weights_only=False)
    expected = logits(pruned)
    eb.prune(pruned, eb.Ticket.random(eb.Anatomy.of(pruned), eb.PruningConfig(heads=0.5)))
    for other in (copied, unpickled):
        assert largest_difference(logits(other), expected) == 0
        assert other.model.layers[0].self_attn.config.vocab_size == other.config.vocab_size
        other.set_attn_implementation("sdpa")
        assert other.model.layers[0].self_attn.config._attn_implementation == "sdpa"


def test_a_refusal_leaves_the_config_that_was_there():
    model = build("phi3")
    # The last projection is shared, which shows once the first blocks are cut.
    model.lm_head.weight = model.model.layers[1].mlp.down_proj.weight
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5))
    with pytest.raises(eb.InputError, match="shared with another module"):
        eb.prune(model, ticket)
    assert all(layer.self_attn.config is model.config for layer in model.model.layers)
    with pytest.raises(eb.InputError, match="cannot be pruned: it gives other outputs"):
        _prune_with_another_scaling(model)
    assert all(layer.self_attn.config is model.config for layer in model.model.layers)


def _prune_with_another_scaling(model):
    """Surgery that changes what a block gives: its output depends on how many heads there are."""
    model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.model.embed_tokens.weight))
    layer = model.model.layers[0].self_attn
    layer.o_proj.register_forward_hook(lambda module, _, out: out * module.in_features)
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5)))


@pytest.mark.parametrize("settings", [{}, LONG], ids=["plain rotation", "long rotation"])
def test_a_uniform_ticket_loads_by_the_familys_class(settings, tmp_path):
    torch.manual_seed(0)
    model = Phi3ForCausalLM(Phi3Config(**TEXT, num_key_value_heads=4, **settings)).eval()
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.4, uniform=True)))
    eb.save(model, tmp_path)
    # The factors of a long rotation are checked against the hidden size over the heads, which then says too much.
    assert hasattr(model.config, "quantization_config") == bool(settings)
    again = Phi3ForCausalLM.from_pretrained(tmp_path)
    assert largest_difference(logits(again), logits(model)) < 1e-5


def test_queries_that_are_split_by_the_number_of_key_value_heads():
    settings = {"encoder_num_hidden_layers": 2, "decoder_num_hidden_layers": 2, "max_position_embeddings": 64}
    config = MoonshineConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=40,
        encoder_num_attention_heads=8,
        decoder_num_attention_heads=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=SEQUENCES["decoder_start_token_id"],
        **settings,
    )
    torch.manual_seed(0)
    model = MoonshineForConditionalGeneration(config).eval()
    batch = {"input_values": torch.randn(2, 1600), "decoder_input_ids": torch.randint(5, 60, (2, 4))}
    scopes = {"heads_scope": "global", "neurons_scope": "global"}
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.4, neurons=0.4, **scopes), seed=1)
    assert len(set(ticket.kept("heads"))) > 1
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(model, ticket)
    expected, found = logits(masked, batch), logits(pruned, batch)
    assert largest_difference(expected, found) < 1e-5 * max(1, float(expected[0].abs().max()))


def test_a_search_by_gradients_ends_in_a_smaller_model_that_trains_on():
    model = build("phi3").train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    config = eb.SearchConfig(heads=0.5, neurons=0.4, score="gradient", detector="hamming")
    search = eb.Search(model, config, total_steps=40)
    tokens = inputs("phi3", masked=False)
    for _ in range(40):
        model(**tokens, labels=tokens["input_ids"]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if search.step():
            break
    search.finish()
    eb.prune(model, search.ticket, optimizer=optimizer)
    assert eb.Anatomy.of(model).units["heads"] == search.ticket.kept("heads")
    model(**tokens, labels=tokens["input_ids"]).loss.backward()
    optimizer.step()
    assert all(optimizer.state[parameter]["exp_avg"].shape == parameter.shape for parameter in model.parameters())
