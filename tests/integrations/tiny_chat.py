"""A decoder, its tokenizer, and what people say to it."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SPECIAL = ["<pad>", "<unk>", "<end>", "<user>", "<assistant>"]
WORDS = [*SPECIAL, *NUMBERS, "what", "is", "plus"]


def tokenizer():
    """Words, and a template of conversations that ends each message."""
    tokens = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    result = PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<pad>", unk_token="<unk>", eos_token="<end>", model_max_length=64
    )
    result.chat_template = (
        "{% for message in messages %}<{{ message.role }}> {{ message.content }} <end> {% endfor %}"
        "{% if add_generation_prompt %}<assistant> {% endif %}"
    )
    return result


def questions():
    """What is asked, and the answer; sums of one digit."""
    return [(f"what is {NUMBERS[a]} plus {NUMBERS[b]}", NUMBERS[a + b]) for a in range(5) for b in range(5)]


def conversations():
    """Each a list of messages."""
    return [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        for question, answer in questions()
    ]


def llama():
    """Two layers of four heads."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=64,
            initializer_range=0.1,
            bos_token_id=None,
            pad_token_id=0,
            eos_token_id=2,
        )
    )
