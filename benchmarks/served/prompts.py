"""The prompts of these comparisons: a paragraph and a question of each of XQuAD's first articles, as a chat."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import AutoTokenizer

PROMPTS = 20


def prompts_of(directory: Path, xquad: Path) -> list[list[int]]:
    """Token numbers of each prompt, by the tokenizer of a directory."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    prompts = []
    for article in json.loads(xquad.read_text(encoding="utf-8"))["data"][:PROMPTS]:
        paragraph = article["paragraphs"][0]
        content = f"{paragraph['context']}\n\n{paragraph['qas'][0]['question']}"
        messages = [{"role": "user", "content": content}]
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        prompts.append(tokenizer(text, add_special_tokens=False).input_ids)
    return prompts
