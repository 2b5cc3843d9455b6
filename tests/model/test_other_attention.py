"""Attention that holds more than its projections, or says its sizes in its own way, whose heads go all the same."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers as hf
from families import TEXT

import earlybird as eb
from earlybird.surgery.outputs import largest_difference, output_tensors

IMAGE = {"pixel_values": torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))}
TOKENS = {"input_ids": torch.randint(5, 60, (2, 7), generator=torch.Generator().manual_seed(1))}
STAGES = {
    "num_encoder_blocks": 2,
    "depths": [1, 2],
    "sr_ratios": [4, 1],
    "hidden_sizes": [16, 32],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "num_attention_heads": [4, 8],
    "mlp_ratios": [2, 2],
}
MODELS = {
    # A convolution makes the positions of keys and values fewer.
    "segformer": ("SegformerModel", "SegformerConfig", STAGES, IMAGE),
    "glpn": ("GLPNModel", "GLPNConfig", STAGES, IMAGE),
    # Values are larger than queries and keys, and nothing but the size of a head says how many there are.
    "mimo": (
        "MiMoV2FlashModel",
        "MiMoV2FlashConfig",
        {
            **TEXT,
            "num_key_value_heads": 4,
            "head_dim": 4,
            "v_head_dim": 6,
            "layer_types": ["full_attention", "full_attention"],
            "mlp_layer_types": ["dense", "dense"],
        },
        TOKENS,
    ),
    # A norm for each head, with weights of its own.
    "cohere": ("CohereModel", "CohereConfig", {**TEXT, "num_key_value_heads": 4, "use_qk_norm": True}, TOKENS),
    # A gate with one bias a head.
    "beam": (
        "BeamModel",
        "BeamConfig",
        {**TEXT, "num_key_value_heads": 4, "layer_types": ["full_attention", "sliding_attention"]},
        TOKENS,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_pruned_equals_masked_also_saved_and_loaded(name, tmp_path):
    model_name, config_name, settings, batch = MODELS[name]
    if not hasattr(hf, model_name):
        pytest.skip(f"transformers {hf.__version__} has no {model_name}")
    torch.manual_seed(0)
    model = getattr(hf, model_name)(getattr(hf, config_name)(**settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    anatomy = eb.Anatomy.of(model)
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(heads=0.4, heads_scope="global"), seed=1)
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(copy.deepcopy(model), ticket)
    dense, expected, found = (outputs(each, batch) for each in (model, masked, pruned))
    size = float(expected[0].abs().max())
    assert largest_difference(dense, expected) > 1e-2 * size
    assert largest_difference(expected, found) < 1e-5 * size
    eb.save(pruned, tmp_path)
    assert largest_difference(outputs(eb.load(tmp_path), batch), expected) < 1e-5 * size


def outputs(model, batch):
    with torch.no_grad():
        return output_tensors(model(**batch))[:1]


def test_a_config_whose_layers_say_their_own_sizes_is_no_obstacle():
    if not hasattr(hf, "Gemma4TextModel"):
        pytest.skip(f"transformers {hf.__version__} has no Gemma4TextModel")
    sizes = {**TEXT, "num_key_value_heads": 4, "head_dim": 4, "global_head_dim": 8, "hidden_size_per_layer_input": 0}
    layers = {"layer_types": ["sliding_attention", "full_attention"]}
    torch.manual_seed(0)
    model = hf.Gemma4TextModel(hf.Gemma4TextConfig(**sizes, **layers)).eval()
    anatomy = eb.Anatomy.of(model)
    assert [block.unit_size for block in anatomy.attention] == [4, 8]
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(heads=0.5, uniform=True), seed=1)
    masked, pruned = eb.apply_mask(copy.deepcopy(model), ticket), eb.prune(model, ticket)
    assert largest_difference(outputs(masked, TOKENS), outputs(pruned, TOKENS)) < 1e-5
