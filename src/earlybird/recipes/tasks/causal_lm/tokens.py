"""Examples as tokens: what is given, then what is learnt, closed by the end token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from transformers import PreTrainedTokenizerBase

from earlybird.errors import InputError, first_line
from earlybird.recipes.tasks.causal_lm.examples import Example, Message


@dataclass(frozen=True)
class Tokens:
    """One item: its token numbers, of which the first `given` are no part of the loss.

    `learnt` is the text that the rest stands for, whether or not it was cut.
    """

    numbers: list[int]
    given: int
    learnt: str
    cut: bool = False


def tokens_of(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int, *, packing: bool
) -> list[Tokens]:
    """Items of at most `max_length` tokens, one for each example, or pieces of all texts in turn.

    Raises:
        InputError: a prompt leaves no token of its answer, or the tokenizer has no chat template or one that writes the
            beginning of a conversation differently once its answer is known.
    """
    items = [_tokens(example, tokenizer, max_length) for example in examples]
    if not packing:
        return [_cut(item, max_length) for item in items]
    stream = list(chain.from_iterable(item.numbers for item in items))
    pieces = [stream[first : first + max_length] for first in range(0, len(stream), max_length)]
    # A piece of one token predicts nothing.
    return [Tokens(piece, 0, "") for piece in pieces if len(piece) > 1]


def _cut(item: Tokens, max_length: int) -> Tokens:
    if len(item.numbers) <= max_length:
        return item
    return Tokens(item.numbers[:max_length], item.given, item.learnt, cut=True)


def _tokens(example: Example, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Tokens:
    if isinstance(example.given, str):
        start = [number for number in tokenizer("").input_ids if number != tokenizer.eos_token_id]
        given = [*start, *_encoded(tokenizer, example.given)]
        learnt = [*_encoded(tokenizer, example.learnt), tokenizer.eos_token_id]
    else:
        prompt, answer = _by_template(example.given, example.learnt, tokenizer, example.where)
        given, learnt = _encoded(tokenizer, prompt), _encoded(tokenizer, answer)
    if example.given and len(given) >= max_length:
        raise InputError(
            f"{example.where}: what is given takes {len(given):,} tokens and leaves none of"
            f" model.max_length={max_length:,} to its answer: raise that, or shorten the example"
        )
    if not learnt:
        raise InputError(f"{example.where}: its answer is empty, and nothing marks its end: leave the example out")
    return Tokens([*given, *learnt], len(given) if example.given else 0, example.learnt)


def _encoded(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    numbers: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return numbers


def _by_template(given: list[Message], learnt: str, tokenizer: PreTrainedTokenizerBase, where: str) -> tuple[str, str]:
    """A conversation as its family writes it: up to the answer, and the answer with what ends it."""
    answer = {"role": "assistant", "content": learnt}
    try:
        prompt = str(tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=True))
        whole = str(tokenizer.apply_chat_template([*given, answer], tokenize=False))
    except Exception as error:  # A template is a program, which may refuse roles with an error of any kind.
        raise InputError(
            f"{where}: the chat template of {tokenizer.name_or_path} cannot write it ({first_line(error)}); a"
            " tokenizer without one takes data.examples=prompt-completion"
        ) from error
    if not whole.startswith(prompt):
        raise InputError(
            f"{where}: the chat template of {tokenizer.name_or_path} writes the conversation differently once"
            " its answer is known, so that nobody could say where that begins: write prompts and answers out, and give"
            " data.examples=prompt-completion"
        )
    rest = whole[len(prompt) :]
    end = tokenizer.eos_token
    # What templates put behind the end of an answer is never generated.
    return prompt, rest[: rest.rindex(end) + len(end)] if isinstance(end, str) and end in rest else rest
