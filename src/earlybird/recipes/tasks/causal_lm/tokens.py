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

    `learnt` is what the rest says, before it was cut, as the tokenizer reads an answer that a model has written.
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
    start = _start(tokenizer)
    items = [_tokens(example, tokenizer, start, max_length) for example in examples]
    if not packing:
        return _some([_cut(item, max_length) for item in items], examples)
    stream = list(chain.from_iterable(item.numbers for item in items))
    pieces = [stream[first : first + max_length] for first in range(0, len(stream), max_length)]
    return _some([Tokens(piece, 0, "") for piece in pieces], examples)


def _some(items: Sequence[Tokens], examples: Sequence[Example]) -> list[Tokens]:
    """Those that predict something: a text without a word holds its end alone."""
    some = [item for item in items if len(item.numbers) > 1]
    if not some:
        raise InputError(f"{examples[0].where}: neither this text nor any other has a token that follows another")
    return some


def _cut(item: Tokens, max_length: int) -> Tokens:
    if len(item.numbers) <= max_length:
        return item
    return Tokens(item.numbers[:max_length], item.given, item.learnt, cut=True)


def _start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What a tokenizer puts before a text; what it puts behind one is left out."""
    whole, plain = tokenizer("a").input_ids, _encoded(tokenizer, "a")
    places = range(len(whole) - len(plain) + 1)
    return list(whole[: next((place for place in places if whole[place : place + len(plain)] == plain), 0)])


def _tokens(example: Example, tokenizer: PreTrainedTokenizerBase, start: list[int], max_length: int) -> Tokens:
    if example.given is None or isinstance(example.given, str):
        given = [*start, *_encoded(tokenizer, example.given or "")]
        learnt = [*_encoded(tokenizer, example.learnt), tokenizer.eos_token_id]
    else:
        prompt, answer = _by_template(example.given, example.learnt, tokenizer, example.where)
        given, learnt = _encoded(tokenizer, prompt), _encoded(tokenizer, answer)
    if example.given is not None and len(given) >= max_length:
        raise InputError(
            f"{example.where}: what is given takes {len(given):,} tokens and leaves none of"
            f" model.max_length={max_length:,} to its answer: raise that, or shorten the example"
        )
    text = str(tokenizer.decode(learnt, skip_special_tokens=True))
    return Tokens([*given, *learnt], 0 if example.given is None else len(given), text)


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
    if rest.strip() == learnt.strip():
        return prompt, f"{rest}{end}"  # nothing of the template's own would end it
    # What templates put behind the end of an answer is never generated.
    return prompt, rest[: rest.rindex(end) + len(end)] if isinstance(end, str) and end in rest else rest
