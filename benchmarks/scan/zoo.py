"""Every architecture that the installed transformers ships, built tiny from its config, with inputs for it."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

LAYERS, HEADS, GROUPS, HIDDEN, NEURONS = 2, 8, 4, 32, 40
TOKENS, VOCABULARY, IMAGE, PATCH, POSITIONS = 9, 99, 32, 8, 64

# Usual names of sizes in configs, by the value that they get here.
_NAMES = (
    (
        HIDDEN,
        "hidden_size d_model n_embd dim embed_dim embedding_size emb_dim attention_hidden_size"
        " word_embed_proj_dim projection_dim text_hidden_size true_hidden_size",
    ),
    (
        LAYERS,
        "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_decoder_layers"
        " num_encoder_layers encoder_layer num_layer num_experts_per_tok",
    ),
    (
        HEADS,
        "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads"
        " encoder_num_attention_heads decoder_num_attention_heads",
    ),
    (GROUPS, "num_key_value_heads num_kv_heads n_head_kv num_experts num_local_experts n_routed_experts"),
    (
        NEURONS,
        "intermediate_size ffn_dim d_ff n_inner hidden_dim encoder_ffn_dim decoder_ffn_dim dim_feedforward"
        " feed_forward_hidden_size moe_intermediate_size shared_expert_intermediate_size ffn_hidden_size"
        " intermediate_dim",
    ),
    (VOCABULARY, "vocab_size"),
    (IMAGE, "image_size img_size"),
    (PATCH, "patch_size"),
    (POSITIONS, "max_position_embeddings n_positions max_source_positions max_target_positions"),
)
SIZES = {name: value for value, names in _NAMES for name in names.split()}
SIZES |= dict.fromkeys(("head_dim", "d_kv", "attention_head_size", "rotary_dim"), HIDDEN // HEADS)
SPECIAL_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}


def architectures() -> list[str]:
    """Model types that AutoModel knows."""
    return sorted(name for name in MODEL_MAPPING_NAMES if name in CONFIG_MAPPING)


def tiny_config(model_type: str) -> PretrainedConfig:
    """The default config of a model type with all usual sizes overridden."""
    return _tiny(CONFIG_MAPPING[model_type])


def _tiny(config_class: Any) -> PretrainedConfig:
    default = config_class()
    arguments: dict[str, Any] = {}
    known = default.to_dict()
    aliases = {v: k for k, v in getattr(config_class, "attribute_map", {}).items()}
    for name in known:
        value = known[name]
        size = SIZES.get(name, SIZES.get(aliases.get(name, "")))
        if size is not None and (value is None or (type(value) is int)):
            arguments[name] = size
    if "kv_lora_rank" in known and "mrope_section" not in (known.get("rope_parameters") or {}):
        # Keys and values made of a latent are of each head alone, and a part of a head is rotated.
        arguments |= {"num_key_value_heads": HEADS, "qk_rope_head_dim": SIZES["head_dim"]}
    for name, value in SPECIAL_TOKENS.items():
        if isinstance(known.get(name), int):
            arguments[name] = value
    for name, value in known.items():
        if name not in arguments and isinstance(value, int) and name.endswith("token_id") and value >= VOCABULARY:
            arguments[name] = 3
    for name in getattr(config_class, "sub_configs", {}):
        if isinstance(getattr(default, name, None), PretrainedConfig):
            arguments[name] = _tiny(type(getattr(default, name))).to_dict()
    if isinstance(known.get("layer_types"), list):
        arguments["layer_types"] = known["layer_types"][:LAYERS]
    if "depths" in known and isinstance(known["depths"], (list, tuple)):
        arguments["depths"] = [1] * len(known["depths"])
    if isinstance(known.get("num_heads"), (list, tuple)) and "embed_dim" in arguments:
        arguments["embed_dim"] = known["num_heads"][0] * 8
    return config_class(**arguments)


def tiny_model(model_type: str) -> nn.Module:
    """The base model of a type, tiny, with weights large enough that a wrong slice would show."""
    config = tiny_config(model_type)
    name = MODEL_MAPPING_NAMES[model_type]
    model_class = getattr(transformers, name if isinstance(name, str) else name[0])
    torch.manual_seed(0)
    model = model_class(config)
    return strong_weights(model)


def strong_weights(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.normal_(std=0.3)
    return model.eval()


def tiny_inputs(model: nn.Module) -> dict[str, Tensor]:
    """Inputs by the model's main input and its forward signature."""
    config = model.config
    generator = torch.Generator().manual_seed(1)
    parameters = inspect.signature(model.forward).parameters
    main = model.main_input_name
    tokens = torch.randint(5, VOCABULARY - 5, (2, TOKENS), generator=generator)
    channels = 3
    for place in (config, getattr(config, "vision_config", None), getattr(config, "text_config", None)):
        if isinstance(getattr(place, "num_channels", None), int):
            channels = place.num_channels
            break
    size = IMAGE
    mel = next(
        (
            getattr(c, n)
            for c in (config, getattr(config, "audio_config", None))
            for n in ("num_mel_bins", "input_feat_per_channel", "feature_size", "input_dim")
            if isinstance(getattr(c, n, None), int)
        ),
        80,
    )
    wanted: dict[str, Tensor] = {}
    makers = {
        "input_ids": lambda: tokens,
        "pixel_values": lambda: torch.randn(2, channels, size, size, generator=generator),
        "input_features": lambda: torch.randn(2, mel, 128, generator=generator),
        "input_values": lambda: torch.randn(2, 1600, generator=generator),
        "decoder_input_ids": lambda: tokens[:, :5],
    }
    wanted[main] = makers[main]() if main in makers else tokens
    for name in makers:
        if (
            name in parameters
            and name not in wanted
            and (
                parameters[name].default is inspect.Parameter.empty
                or name == "decoder_input_ids"
                or (name == "input_ids" and main == "pixel_values")
                or (
                    name == "pixel_values"
                    and hasattr(config, "vision_config")
                    and hasattr(config, "text_config")
                    and "get_text_features" in dir(model)
                )
            )
        ):
            wanted[name] = makers[name]()
    if "input_ids" in wanted and "attention_mask" in parameters:
        wanted["attention_mask"] = torch.ones_like(wanted["input_ids"])
    return wanted
