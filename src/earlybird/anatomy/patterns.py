"""How attention and MLPs are called and laid out: the tables that stand for all families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layout = Literal["stacked", "by-group"]


@dataclass(frozen=True)
class AttentionPattern:
    """Names of an attention's projections, relative to the module that holds them.

    Attributes:
        query, key, value: the projections; the same name twice or three times is one fused projection.
        output: the projection of the concatenated heads.
        layout: how a fused projection's rows lie. "stacked": all queries, then all keys, then all values.
            "by-group": for each key/value group in turn its queries, its key, its value (without shared keys
            and values: for each head its query, key and value). Where keys and values alone are fused: for each
            head in turn its key, of any size, and its value.
    """

    query: str
    key: str
    value: str
    output: str
    layout: Layout = "stacked"

    @property
    def paths(self) -> tuple[str, ...]:
        """The projections' names, each once."""
        return tuple(dict.fromkeys((self.query, self.key, self.value, self.output)))


@dataclass(frozen=True)
class MlpPattern:
    """Names of an MLP's projections, relative to the module that holds them.

    Attributes:
        inputs: projections into the neurons; two where one of them gates the other. One that has twice as
            many rows as there are neurons holds both, one after the other.
        output: the projection out of the neurons.
    """

    inputs: tuple[str, ...]
    output: str


def _fused(qkv: str, output: str, layout: Layout) -> AttentionPattern:
    return AttentionPattern(qkv, qkv, qkv, output, layout)


ATTENTION_PATTERNS: tuple[AttentionPattern, ...] = (
    AttentionPattern("q_proj", "k_proj", "v_proj", "o_proj"),  # vit, deit, llama, mistral, qwen2, gemma, swin, beit
    AttentionPattern("q_proj", "k_proj", "v_proj", "out_proj"),  # clip, siglip, bart, opt, whisper
    AttentionPattern("q_proj", "k_proj", "v_proj", "dense"),  # phi
    AttentionPattern("q_proj", "k_proj", "v_proj", "proj"),
    AttentionPattern("q_proj", "k_proj", "v_proj", "projection_layer"),
    AttentionPattern("q_proj", "k_proj", "v_proj", "Wo"),
    AttentionPattern("self.query", "self.key", "self.value", "output.dense"),  # bert, roberta, electra
    AttentionPattern("self.query", "self.key", "self.value", "output"),
    AttentionPattern("attention.query", "attention.key", "attention.value", "output.dense"),  # dinov2, older vit
    AttentionPattern("self.query_proj", "self.key_proj", "self.value_proj", "output.dense"),  # deberta-v2
    AttentionPattern("query", "key", "value", "dense"),  # albert
    AttentionPattern("query", "key", "value", "output"),
    AttentionPattern("query", "key", "value", "proj"),
    AttentionPattern("query_proj", "key_proj", "value_proj", "out_proj"),
    AttentionPattern("q", "k", "v", "o"),  # t5, mpnet
    AttentionPattern("q_lin", "k_lin", "v_lin", "out_lin"),  # distilbert, xlm
    AttentionPattern("linear_q", "linear_k", "linear_v", "linear_out"),
    AttentionPattern("project_q", "project_k", "project_v", "attention_out"),
    AttentionPattern("Wq", "Wk", "Wv", "dense"),
    AttentionPattern("longformer_self_attn.query", "longformer_self_attn.key", "longformer_self_attn.value", "output"),
    AttentionPattern("to_q", "to_kv", "to_kv", "to_out"),
    AttentionPattern("q_b_proj", "kv_b_proj", "kv_b_proj", "o_proj", "by-group"),  # deepseek, from latents
    AttentionPattern("q_proj", "kv_b_proj", "kv_b_proj", "o_proj", "by-group"),
    AttentionPattern("q_attn", "c_attn", "c_attn", "c_proj"),  # gpt2, attending to an encoder
    _fused("c_attn", "c_proj", "stacked"),  # gpt2
    _fused("Wqkv", "Wo", "stacked"),  # modernbert
    _fused("Wqkv", "out_proj", "stacked"),
    _fused("qkv_proj", "o_proj", "stacked"),
    _fused("qkv", "proj", "stacked"),
    _fused("qkv", "projection", "stacked"),
    _fused("qkv_proj", "out_proj", "by-group"),
    _fused("query_key_value", "dense", "by-group"),  # gpt-neox, falcon
    _fused("self.in_proj", "output.dense", "by-group"),
)

MLP_PATTERNS: tuple[MlpPattern, ...] = (
    MlpPattern(("gate_proj", "up_proj"), "down_proj"),  # llama, mistral, qwen2, gemma
    MlpPattern(("wi_0", "wi_1"), "wo"),  # gated t5
    MlpPattern(("w1", "w3"), "w2"),  # older mixtral
    MlpPattern(("w_in.w_0", "w_in.w_1"), "w_out"),
    MlpPattern(("fc1_g", "fc1_x"), "fc2"),  # timm with a gate
    MlpPattern(("fc1",), "fc2"),  # vit, clip, opt, bart, whisper
    MlpPattern(("intermediate.dense",), "output.dense"),  # bert, deberta-v2
    MlpPattern(("lin1",), "lin2"),  # distilbert
    MlpPattern(("linear1",), "linear2"),  # torch.nn.TransformerEncoderLayer
    MlpPattern(("linear_1",), "linear_2"),
    MlpPattern(("dense1",), "dense2"),
    MlpPattern(("linear_fc1",), "linear_fc2"),
    MlpPattern(("dense_h_to_4h",), "dense_4h_to_h"),  # gpt-neox, falcon
    MlpPattern(("intermediate_dense",), "output_dense"),
    MlpPattern(("c_fc",), "c_proj"),  # gpt2
    MlpPattern(("fc_in",), "fc_out"),
    MlpPattern(("wi",), "wo"),  # t5
    MlpPattern(("Wi",), "Wo"),  # modernbert
    MlpPattern(("gate_up_proj",), "down_proj"),
    MlpPattern(("up_proj",), "down_proj"),
    MlpPattern(("ffn",), "ffn_output"),  # albert
    MlpPattern(("intermediate",), "output"),
    MlpPattern(("layer_1",), "layer_2"),
    MlpPattern(("linear_in",), "linear_out"),
    MlpPattern(("weights_in",), "weights_out"),  # dinov2 with a gate
    MlpPattern(("ffw_layer_1",), "ffw_layer_2"),
    MlpPattern(("proj_in",), "proj_out"),
)

# Networks that compute a position bias: their neurons are none of a layer's.
POSITION_MLPS = ("meta_mlp", "rel_pos.mlp")

# Names under which modules keep counts, by what they count. "head width" is heads x features of a head.
HEAD_NAMES = ("num_attention_heads", "num_heads", "n_heads", "n_head", "num_query_heads", "nb_heads", "heads")
GROUP_NAMES = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "num_k_heads", "num_v_heads", "kv_heads")
RATIO_NAMES = ("num_key_value_groups", "n_rep", "num_queries_per_kv", "num_heads_per_group", "num_kv_groups")
WIDTH_NAMES = (
    "all_head_size",
    "q_dim",
    "inner_dim",
    "split_size",
    "attn_dim",
    "attn_hidden_size",
    "embed_dim",
    "hidden_size",
    "d_model",
    "dim",
)
# Shapes of a bias of the scores, of which the last dimension is the heads.
BIAS_SHAPE_NAMES = ("bias_shape",)
GROUP_WIDTH_NAMES = ("kv_dim", "kv_size", "key_value_dim", "num_key_value_dim")
UNIT_SIZE_NAMES = (
    "head_dim",
    "head_size",
    "attention_head_size",
    "key_value_proj_dim",
    "d_head",
    "dim_head",
    "dim_per_head",
    "kv_channels",
    "d_k",
)

# What an attention may hold beside its projections, one entry per head, or one row per feature of a head.
PER_HEAD = (
    "relative_attention_bias",
    "relative_position_bias_table",
    "sinks",
    "gate_proj",
    "g_proj",
    "pos_bias_u",
    "pos_bias_v",
    "linear_pos",
    "logit_scale",
    "pos_key_proj",
    "pos_query_proj",
    "pos_proj",
    "pos_q_proj",
    "q_bias",
    "k_bias",
    "v_bias",
    "r_w_bias",
    "r_r_bias",
    "relative_k_proj",
    "w2e_query",
    "e2w_query",
    "e2e_query",
    "query_global",
    "key_global",
    "value_global",
    "gru_rel_pos_const",
    "rel_attn_embed",
    "continuous_position_bias_mlp.2",
    "cpb_mlp.2",
    "meta_mlp.fc2",
    "rel_pos.mlp.fc2",
    "s_gate",
    "temperature",
    "gate_bias",
    "A",
    "dt_proj",
)
# What it may hold that all heads share: untouched by pruning when its last dimension is the size of a head.
PER_FEATURE = ("rel_pos_h", "rel_pos_w", "distance_embedding", "gru_rel_pos_linear", "emb_rel_k", "emb_rel_v")
# The first layers of networks that compute a position bias: they have no heads yet.
BEFORE_HEADS = ("continuous_position_bias_mlp.0", "cpb_mlp.0", "meta_mlp.fc1", "rel_pos.mlp.fc1")
# What makes the input of queries, keys and values and has none of their heads: latents, and the choice of positions
# with heads of its own (DeepSeek); fewer positions (Segformer).
INPUTS_OF_HEADS = frozenset(
    ("q_a_proj", "q_a_layernorm", "kv_a_proj_with_mqa", "kv_a_layernorm", "indexer", "sequence_reduction", "sr")
)
# Norms of the block's input or of the sum after it, as wide as the model and not as the heads.
OUTER_NORMS = (
    "LayerNorm",
    "layer_norm",
    "layernorm",
    "ln",
    "attention_norm",
    "pre_norm",
    "norm_media",
    "norm_latents",
    "self_attn_layer_norm",
    "input_layernorm",
    "post_attention_layernorm",
    "layernorm_before_attention",
)
# Arguments by which an attention is handed a bias of its scores with one entry per head.
PER_HEAD_ARGUMENTS = (
    "position_bias",
    "alibi",
    "relative_position_bias",
    "rel_pos_bias",
    "shared_rel_pos_bias",
    "shared_rel_pos",
)
# Buffer that lists, in an attention whose bias is for all heads, the heads that it has kept.
KEPT_HEADS = "kept_heads"
# Attribute of an attention that adds its biases after calling the fused projection, instead of using its weight.
BIAS_APART = "qkv_bias_separate"
