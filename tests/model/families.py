"""The named families, tiny: a class, its config, and what it is fed."""

from __future__ import annotations

import torch
import transformers as hf

TEXT = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = {**TEXT, "num_key_value_heads": 4, "head_dim": 4}
EXPERTS = {"intermediate_size": 56, "num_local_experts": 4, "num_experts_per_tok": 2}
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "intermediate_size": 40,
    "image_size": 16,
    "patch_size": 4,
}
SEQUENCES = {
    "vocab_size": 60,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
T5 = {
    "vocab_size": 60,
    "d_model": 32,
    "d_kv": 4,
    "d_ff": 40,
    "num_layers": 2,
    "num_heads": 8,
    "decoder_start_token_id": 0,
    "feed_forward_proj": "gated-gelu",
}
GPT2 = {
    "vocab_size": 60,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 8,
    "n_positions": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TOWERS = {"text_config": TEXT, "vision_config": VISION}


def without_neurons(settings):
    """For a config that calls the number of neurons otherwise, or takes it from the width."""
    return {key: value for key, value in settings.items() if key != "intermediate_size"}


def without_head_size(settings):
    """For a config that takes the size of a head from the width."""
    return {key: value for key, value in settings.items() if key != "head_dim"}


# name -> (model class, config class, its arguments, what the model reads)
FAMILIES = {
    "bert": (hf.BertModel, hf.BertConfig, TEXT, "text"),
    "roberta": (hf.RobertaModel, hf.RobertaConfig, TEXT, "text"),
    "electra": (hf.ElectraModel, hf.ElectraConfig, TEXT, "text"),
    "distilbert": (
        hf.DistilBertModel,
        hf.DistilBertConfig,
        {"vocab_size": 60, "dim": 32, "n_layers": 2, "n_heads": 8, "hidden_dim": 40},
        "text",
    ),
    "mpnet": (hf.MPNetModel, hf.MPNetConfig, TEXT, "text"),
    "deberta-v2": (
        hf.DebertaV2Model,
        hf.DebertaV2Config,
        {
            **TEXT,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 8,
            "share_att_key": True,
        },
        "text",
    ),
    "albert": (hf.AlbertModel, hf.AlbertConfig, {**TEXT, "embedding_size": 16}, "text"),
    "modernbert": (hf.ModernBertModel, hf.ModernBertConfig, {**TEXT, "cls_token_id": 1, "sep_token_id": 2}, "text"),
    "vit": (hf.ViTModel, hf.ViTConfig, VISION, "image"),
    "deit": (hf.DeiTModel, hf.DeiTConfig, VISION, "image"),
    "beit": (hf.BeitModel, hf.BeitConfig, {**VISION, "use_relative_position_bias": True}, "image"),
    "beit, one bias for all layers": (
        hf.BeitModel,
        hf.BeitConfig,
        {**VISION, "use_shared_relative_position_bias": True},
        "image",
    ),
    "dinov2": (
        hf.Dinov2Model,
        hf.Dinov2Config,
        {**without_neurons(VISION), "mlp_ratio": 2},
        "image",
    ),
    "swin": (
        hf.SwinModel,
        hf.SwinConfig,
        {"image_size": 16, "patch_size": 2, "embed_dim": 16, "depths": [2, 1], "num_heads": [4, 8], "window_size": 4},
        "image",
    ),
    "clip": (hf.CLIPModel, hf.CLIPConfig, TOWERS, "both"),
    "clip text": (hf.CLIPTextModel, hf.CLIPTextConfig, TEXT, "text"),
    "clip vision": (hf.CLIPVisionModel, hf.CLIPVisionConfig, VISION, "image"),
    "siglip": (hf.SiglipModel, hf.SiglipConfig, TOWERS, "both"),
    "gpt2": (hf.GPT2LMHeadModel, hf.GPT2Config, GPT2, "prompt"),
    "gpt-neox": (hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig, TEXT, "prompt"),
    "opt": (
        hf.OPTForCausalLM,
        hf.OPTConfig,
        {**without_neurons(TEXT), "ffn_dim": 40, "word_embed_proj_dim": 32},
        "prompt",
    ),
    "falcon": (hf.FalconForCausalLM, hf.FalconConfig, without_neurons(TEXT), "prompt"),
    "falcon, grouped": (
        hf.FalconForCausalLM,
        hf.FalconConfig,
        {**without_neurons(TEXT), "new_decoder_architecture": True, "num_kv_heads": 4},
        "prompt",
    ),
    "falcon, alibi": (hf.FalconForCausalLM, hf.FalconConfig, {**without_neurons(TEXT), "alibi": True}, "prompt"),
    "llama": (hf.LlamaForCausalLM, hf.LlamaConfig, GROUPED, "prompt"),
    "mistral": (hf.MistralForCausalLM, hf.MistralConfig, {**GROUPED, "num_key_value_heads": 2}, "prompt"),
    "mixtral": (
        hf.MixtralForCausalLM,
        hf.MixtralConfig,
        {**GROUPED, **EXPERTS},
        "prompt",
    ),
    "qwen3_moe": (
        hf.Qwen3MoeForCausalLM,
        hf.Qwen3MoeConfig,
        {**GROUPED, "moe_intermediate_size": 56, "num_experts": 4, "num_experts_per_tok": 2},
        "prompt",
    ),
    "gpt_oss": (
        hf.GptOssForCausalLM,
        hf.GptOssConfig,
        {**GROUPED, **EXPERTS, "sliding_window": 4},
        "prompt",
    ),
    "granitemoe": (
        hf.GraniteMoeForCausalLM,
        hf.GraniteMoeConfig,
        {**without_head_size(GROUPED), **EXPERTS},
        "prompt",
    ),
    "qwen2": (hf.Qwen2ForCausalLM, hf.Qwen2Config, GROUPED, "prompt"),
    "phi3": (hf.Phi3ForCausalLM, hf.Phi3Config, {**TEXT, "num_key_value_heads": 4}, "prompt"),
    "olmo2": (hf.Olmo2ForCausalLM, hf.Olmo2Config, {**TEXT, "num_key_value_heads": 4}, "prompt"),
    "gemma": (hf.GemmaForCausalLM, hf.GemmaConfig, {**GROUPED, "num_key_value_heads": 1}, "prompt"),
    "bloom": (
        hf.BloomForCausalLM,
        hf.BloomConfig,
        {"vocab_size": 60, "hidden_size": 32, "n_layer": 2, "n_head": 8, "pad_token_id": 0, "eos_token_id": 2},
        "prompt",
    ),
    "t5": (hf.T5ForConditionalGeneration, hf.T5Config, T5, "sequence"),
    "bart": (hf.BartForConditionalGeneration, hf.BartConfig, SEQUENCES, "sequence"),
    "whisper": (
        hf.WhisperForConditionalGeneration,
        hf.WhisperConfig,
        {**SEQUENCES, "num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 40},
        "sound",
    ),
}
# Mixtures, whose experts are one tensor: every expert keeps a multiple of 8 neurons.
MIXTURES = ("mixtral", "qwen3_moe", "gpt_oss", "granitemoe")
WITHOUT_SDPA = ("mpnet", "deberta-v2", "bloom", "gpt_oss")
# With a static cache transformers hands their ALiBi a mask of four dimensions, and breaks (Bloom in 5.20 alone).
WITHOUT_STATIC_CACHE = ("falcon, alibi", "bloom")


def build(name, kernel="eager", dtype=torch.float32):
    """The tiny model, with weights large enough that a wrong slice would show."""
    model_class, config_class, settings, _ = FAMILIES[name]
    config = config_class(**settings)
    for part in (config, *(getattr(config, sub) for sub in config.sub_configs)):
        for dropout in [key for key in vars(part) if "drop" in key and isinstance(getattr(part, key), float)]:
            setattr(part, dropout, 0.0)
    torch.manual_seed(0)
    model = model_class._from_config(config, attn_implementation=kernel)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model.to(dtype).eval()


def inputs(name, dtype=torch.float32, masked=True):
    """A batch of two; `masked` pads one of them, on the left for prompts."""
    reads = FAMILIES[name][3]
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(5, 60, (2, 7), generator=generator)
    visible = torch.ones_like(tokens)
    if masked:
        visible[1, :3] = 0
        if reads in ("text", "sequence", "both"):
            visible = visible.flip(1)
    image = torch.randn(2, 3, 16, 16, generator=generator).to(dtype)
    text = {"input_ids": tokens, "attention_mask": visible} if masked else {"input_ids": tokens}
    return {
        "text": text,
        "prompt": text,
        "image": {"pixel_values": image},
        "both": {**text, "pixel_values": image},
        "sequence": {**text, "decoder_input_ids": tokens[:, :4]},
        "sound": {
            "input_features": torch.randn(2, 8, 20, generator=generator).to(dtype),
            "decoder_input_ids": tokens[:, :4],
        },
    }[reads]
