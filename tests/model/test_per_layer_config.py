"""What the per-layer-config export writes, transformers reads back, layer by layer; or it is refused."""

from __future__ import annotations

import json

import pytest
import torch
import transformers as hf
from families import FAMILIES, GROUPED, MIXTURES, TEXT, build

import earlybird as eb

MORE = {
    "cohere": (hf.CohereForCausalLM, hf.CohereConfig, GROUPED),
    "gemma2": (hf.Gemma2ForCausalLM, hf.Gemma2Config, GROUPED),
    "gemma3": (hf.Gemma3ForCausalLM, hf.Gemma3TextConfig, GROUPED),
    "granite": (hf.GraniteForCausalLM, hf.GraniteConfig, GROUPED),
    "phi": (hf.PhiForCausalLM, hf.PhiConfig, TEXT),
    "qwen3": (hf.Qwen3ForCausalLM, hf.Qwen3Config, GROUPED),
    "starcoder2": (hf.Starcoder2ForCausalLM, hf.Starcoder2Config, GROUPED),
}
SAY_HEADS = (
    *("cohere", "gemma", "gemma2", "gemma3", "granite", "llama", "mistral", "phi", *MIXTURES),
    *("phi3", "qwen2", "qwen3", "starcoder2"),
)
SAY_NEURONS = (
    *("bert", "roberta", "electra", "distilbert", "mpnet", "deberta-v2", "modernbert", "vit", "deit", "beit"),
    *("beit, one bias for all layers", "clip text", "clip vision", "gpt2", "gpt-neox", "opt", "falcon"),
    *("falcon, grouped", "falcon, alibi", *SAY_HEADS, "olmo2"),
)
NEURONS = ("moe_intermediate_size", "intermediate_size", "hidden_dim", "n_inner", "ffn_dim", "ffn_hidden_size")


def unevenly_pruned(name, kinds):
    """A tiny model whose layers keep different numbers of units, or None where it has none of a kind to prune."""
    if name in FAMILIES:
        model = build(name)
    else:
        torch.manual_seed(0)
        model_class, config_class, settings = MORE[name]
        model = model_class(config_class(**settings)).eval()
    anatomy = eb.Anatomy.of(model)
    if any(kind not in anatomy.units for kind in kinds):
        return None
    scopes = {"heads_scope": "global"} if "heads" in kinds else {}
    config = eb.PruningConfig(**dict.fromkeys(kinds, 0.4), **scopes)
    return eb.prune(model, eb.Ticket.random(anatomy, config, seed=1))


@pytest.mark.thorough
@pytest.mark.parametrize("kinds", [("heads",), ("neurons",), ("heads", "neurons")], ids="+".join)
@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
def test_what_is_written_is_read_back_in_every_layer_or_refused(name, kinds, tmp_path):
    model = unevenly_pruned(name, kinds)
    if model is None:
        return
    target = tmp_path / "out"
    can = [name in {"heads": SAY_HEADS, "neurons": SAY_NEURONS}[kind] for kind in kinds]
    if not all(can):
        with pytest.raises(eb.InputError, match=r"per-layer-config|has no "):
            eb.export(model, target, format="per-layer-config")
        assert not target.exists()
        return
    eb.export(model, target, format="per-layer-config")
    config = hf.AutoConfig.from_pretrained(target)
    anatomy = eb.Anatomy.of(model)
    layers = config.per_layer_config
    if "heads" in kinds:
        assert [layer.num_attention_heads for layer in layers] == list(anatomy.units["heads"])
        assert [layer.head_dim for layer in layers] == [block.unit_size for block in anatomy.attention]
        groups = anatomy.key_value_groups or anatomy.units["heads"]
        assert [layer.num_key_value_heads for layer in layers] == list(groups)
    if "neurons" in kinds:
        field = next(field for field in NEURONS if any(hasattr(layer, field) for layer in layers))
        assert [getattr(layer, field) for layer in layers] == [
            block.units // max(1, block.experts) for block in anatomy.mlp
        ]


@pytest.mark.parametrize("format", ["dense", "per-layer-config"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_the_config_says_the_type_of_the_weights(format, dtype, tmp_path):
    model = unevenly_pruned("qwen2", ("heads", "neurons")).to(dtype)
    eb.export(model, tmp_path, format=format)
    assert hf.AutoConfig.from_pretrained(tmp_path).dtype == dtype


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("kinds", [("heads",), ("neurons",), ("heads", "neurons")], ids="+".join)
@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2", "gemma3", "bert"])
def test_models_of_transformers_refuse_it(name, kinds, ignore, tmp_path):
    if (name, kinds[0]) == ("bert", "heads"):
        return
    model = unevenly_pruned(name, kinds)
    eb.export(model, tmp_path, format="per-layer-config")
    with pytest.raises(ValueError, match=r"the shape of each layer .* which transformers' models do not read"):
        type(model).from_pretrained(tmp_path, ignore_mismatched_sizes=ignore)
    with pytest.raises(eb.InputError, match=r"the shape of each layer .* which transformers' models do not read"):
        eb.load(tmp_path)


def test_a_model_that_was_not_pruned_is_exported_as_it_is(tmp_path):
    model = build("llama")
    eb.export(model, tmp_path, format="per-layer-config")
    loaded = hf.AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def test_only_a_family_that_needs_it_may_read_the_fields_of_all_layers_at_once(tmp_path):
    for name, needed in (("llama", True), ("mistral", False)):
        eb.export(unevenly_pruned(name, ("heads",)), tmp_path / name, format="per-layer-config")
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert config.get("allow_global_per_layer_attribute_access", False) is needed


class OwnLlamaConfig(hf.LlamaConfig):
    model_type = "own-llama"


def test_a_config_that_transformers_cannot_find_is_refused(tmp_path):
    config = OwnLlamaConfig(**GROUPED)
    model = hf.LlamaForCausalLM(config)
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(neurons=0.4)))
    with pytest.raises(eb.InputError, match="transformers does not read the config"):
        eb.export(model, tmp_path / "out", format="per-layer-config")
    assert not (tmp_path / "out").exists()
