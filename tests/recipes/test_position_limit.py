import pytest
import torch
import transformers

from earlybird.recipes.tasks.position_limit import position_limit

SIZE = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
}
GPT = {"vocab_size": 40, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 24, "pad_token_id": 0}
SEQUENCES = {
    "vocab_size": 40,
    "d_model": 16,
    **{f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in (("layers", 1), ("ffn_dim", 24))},
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "max_position_embeddings": 24,
}
ROTARY = SIZE | {"num_key_value_heads": 1, "pad_token_id": 0}
DEBERTA = SIZE | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
ESM = SIZE | {"mask_token_id": 3, "pad_token_id": 1}

# Family, what its config says, tokens that it can read: None where nothing ends.
FAMILIES = [
    ("Bert", SIZE, 24),
    ("DistilBert", {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 24}, 24),
    ("Albert", SIZE | {"embedding_size": 8}, 24),
    ("Electra", SIZE | {"embedding_size": 8}, 24),
    ("MobileBert", SIZE | {"embedding_size": 8, "intra_bottleneck_size": 16, "true_hidden_size": 16}, 24),
    ("Ernie", SIZE, 24),
    ("RoFormer", SIZE, 24),
    ("BigBird", SIZE | {"attention_type": "original_full"}, 24),
    ("Nystromformer", SIZE | {"num_landmarks": 64, "segment_means_seq_len": 64}, 24),
    ("FNet", SIZE, 24),
    # The first row is that of padding and the first token has the row behind it.
    ("Roberta", SIZE, 22),
    ("Roberta", SIZE | {"pad_token_id": 5}, 18),
    ("RobertaPreLayerNorm", SIZE, 22),
    ("XLMRoberta", SIZE, 22),
    ("XLMRobertaXL", SIZE, 22),
    ("Camembert", SIZE, 22),
    ("Data2VecText", SIZE, 22),
    ("IBert", SIZE, 22),
    ("MPNet", SIZE, 22),
    ("Longformer", SIZE | {"attention_window": 4}, 22),
    ("Esm", ESM, 22),
    ("Esm", ESM | {"position_embedding_type": "rotary"}, None),
    # Relative positions, with a table for the first layer or without one.
    ("Deberta", DEBERTA | {"position_biased_input": True}, 24),
    ("Deberta", DEBERTA | {"position_biased_input": False}, None),
    ("DebertaV2", DEBERTA | {"position_biased_input": False, "position_buckets": 8}, None),
    ("XLNet", {"vocab_size": 40, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 24}, None),
    ("Funnel", {"vocab_size": 40, "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 24, "block_sizes": [1]}, None),
    ("T5", {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}, None),
    ("GPT2", GPT, 24),
    ("GPTNeo", SIZE | {"num_layers": 1, "attention_types": [[["global"], 1]], "num_heads": 2, "pad_token_id": 0}, 24),
    ("GPTJ", GPT | {"rotary_dim": 4}, 24),
    ("OpenAIGPT", GPT, 24),
    # Two rows more than the config says.
    ("OPT", SIZE | {"word_embed_proj_dim": 16, "ffn_dim": 24}, 24),
    ("Bart", SEQUENCES, 24),
    ("MBart", SEQUENCES, 24),
    ("Mpt", {"vocab_size": 40, "d_model": 16, "n_layers": 1, "n_heads": 2, "max_seq_len": 24, "pad_token_id": 0}, 24),
    ("Bloom", {"vocab_size": 40, "hidden_size": 16, "n_layer": 1, "n_head": 2, "pad_token_id": 0}, None),
    ("ModernBert", SIZE | {f"{name}_token_id": 2 for name in ("pad", "bos", "eos", "cls", "sep")}, None),
    ("Llama", ROTARY, None),
    ("Mistral", ROTARY, None),
    ("Qwen2", ROTARY, None),
    ("Gemma2", ROTARY | {"head_dim": 8}, None),
    ("GPTNeoX", SIZE | {"pad_token_id": 0}, None),
]


def reads(model, tokens):
    """Whether the model takes a text of so many tokens, none of them padding."""
    ids = torch.full((1, tokens), 7)
    end = getattr(model.config, "eos_token_id", None)
    if end is not None and end < 40:
        # T5 wants to see one, Longformer three where it answers questions.
        ids[0, -3:] = end
    try:
        with torch.no_grad():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
    except (IndexError, RuntimeError):
        return False
    return True


@pytest.mark.parametrize("head", ["SequenceClassification", "QuestionAnswering"])
@pytest.mark.parametrize(("family", "config", "limit"), FAMILIES)
def test_the_limit_is_the_longest_text_that_runs(family, config, limit, head):
    name = f"{family}For{head}" + ("Simple" if family == "XLNet" and head == "QuestionAnswering" else "")
    kind = getattr(transformers, name, None)
    if kind is None:
        pytest.skip(f"transformers has no {name}")
    model = kind(getattr(transformers, f"{family}Config")(**{"vocab_size": 40} | config)).eval()
    assert position_limit(model) == limit
    assert reads(model, 40 if limit is None else limit)
    assert limit is None or not reads(model, limit + 1)
