"""A uniform shape is said by the config's own fields wherever the family has them."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    ViTConfig,
    ViTForImageClassification,
)

import earlybird as eb
from earlybird.anatomy.config_fields import CannotSayError, changed, has_field
from earlybird.anatomy.head_counts import valid_head_counts
from earlybird.surgery.plain_config import dense_config

SIZES = {"hidden_size": 48, "num_hidden_layers": 2, "intermediate_size": 96, "vocab_size": 100}
DECODER = {**SIZES, "num_attention_heads": 8, "num_key_value_heads": 4}
DECODERS = [
    (LlamaForCausalLM, LlamaConfig(**DECODER, head_dim=6)),
    (MistralForCausalLM, MistralConfig(**DECODER, head_dim=6)),
    (Qwen2ForCausalLM, Qwen2Config(**DECODER)),
    (Phi3ForCausalLM, Phi3Config(**DECODER, pad_token_id=0)),
    (GemmaForCausalLM, GemmaConfig(**DECODER, head_dim=6)),
    (Gemma2ForCausalLM, Gemma2Config(**DECODER, head_dim=6)),
]
TOKENS = torch.randint(5, 100, (2, 9), generator=torch.Generator().manual_seed(1))


def anatomy_of(model):
    try:
        return eb.Anatomy.of(model)
    except eb.InputError as error:
        pytest.skip(f"the anatomy does not know this family: {error}")


@pytest.mark.parametrize(("architecture", "config"), DECODERS, ids=lambda value: getattr(value, "__name__", ""))
def test_heads_and_neurons_of_decoders(architecture, config, tmp_path):
    torch.manual_seed(0)
    model = architecture(config).eval()
    eb.prune(model, eb.Ticket.random(anatomy_of(model), eb.PruningConfig(heads=0.5, neurons=0.4, uniform=True)))
    eb.save(model, tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    assert "quantization_config" not in said
    assert (said["num_attention_heads"], said["num_key_value_heads"], said["head_dim"]) == (4, 2, 6)
    assert said["intermediate_size"] == 57
    # `architecture` has nothing of earlybird's: with no quantization_config, no hook of it runs.
    again = architecture.from_pretrained(tmp_path)
    assert torch.equal(again(TOKENS).logits, model(TOKENS).logits)
    dense = dense_config(again.config)
    assert (dense.num_attention_heads, dense.num_key_value_heads, dense.intermediate_size) == (8, 4, 96)
    eb.export(again, tmp_path / "dense")
    unpruned = architecture.from_pretrained(tmp_path / "dense")
    torch.testing.assert_close(unpruned(TOKENS).logits, model(TOKENS).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (lambda: BertModel(BertConfig(**SIZES, num_attention_heads=6)), "intermediate_size"),
        (lambda: DistilBertModel(DistilBertConfig(dim=48, n_layers=2, n_heads=6, hidden_dim=96)), "hidden_dim"),
        (
            lambda: ViTForImageClassification(ViTConfig(**SIZES, num_attention_heads=6, image_size=8, patch_size=2)),
            "intermediate_size",
        ),
    ],
)
def test_neurons_of_encoders(model, field, tmp_path):
    model = model()
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(neurons=0.4, uniform=True, round_to=8)))
    eb.save(model, tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    assert said[field] == 56
    assert "quantization_config" not in said
    # Heads that differ by block, pruned afterwards, are for a quantization_config to say; a later load knows both.
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, heads_scope="global"), seed=1))
    eb.save(model, tmp_path)
    again = eb.load(tmp_path)
    assert eb.Anatomy.of(again).units == eb.Anatomy.of(model).units
    assert getattr(dense_config(again.config), field) == 96


def test_a_refused_value_leaves_the_config_alone():
    config = LlamaConfig(**DECODER, head_dim=6)
    with pytest.raises(CannotSayError, match="LlamaConfig refuses"):
        changed(config, {"num_attention_heads": 5})
    assert config.num_attention_heads == 8


def test_the_head_counts_that_a_config_accepts(caplog):
    with caplog.at_level(logging.WARNING):
        assert valid_head_counts(LlamaConfig(**DECODER, head_dim=6), 8, 6) == (1, 2, 3, 4, 6, 8)
    assert "LlamaConfig accepts only 1, 2, 3, 4, 6, 8 heads" in caplog.text
    assert valid_head_counts(MistralConfig(**DECODER, head_dim=6), 8, 6) is None
    assert valid_head_counts(BertConfig(**SIZES, num_attention_heads=6), 6, 8) is None
    assert valid_head_counts(None, 6, 8) is None


def test_a_uniform_ticket_keeps_an_accepted_number_of_heads():
    # One group of 12 heads or 12 groups: of 48 hidden features 7 heads are refused, and 6 and 8 are as near.
    model = LlamaForCausalLM(LlamaConfig(**{**DECODER, "num_attention_heads": 12, "num_key_value_heads": 12}))
    ticket = eb.Ticket.random(anatomy_of(model), eb.PruningConfig(heads=0.4, uniform=True))
    assert ticket.kept("heads") == (8, 8)


def test_a_field_that_each_layer_says_for_itself_is_none_of_the_config():
    config = LlamaConfig(num_hidden_layers=2, per_layer_config={1: {"num_key_value_heads": 2}})
    assert not has_field(config, "num_key_value_heads")
    assert has_field(config, "num_attention_heads")
