"""Questions with long contexts -> windows of tokens that a model can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from earlybird.recipes.tasks.question_answering.questions import Question
from earlybird.recipes.tasks.question_answering.settings import QuestionModelSettings

_AT_ONCE = 1000  # questions


@dataclass(frozen=True)
class Window:
    """A question with a part of its context.

    Attributes:
        question: index of the question in its split.
        inputs: the model's inputs by name, int32 (tokens,).
        context: first and last token of the context's part; (0, -1) if there is none.
        offsets: where in the context each token of that part begins and ends, int32 (context tokens, 2).
        null: the token that stands for "no answer here": the class token, or the first.
        answer: first and last token of the first answer, or `null` twice where this window does not hold all of it.
    """

    question: int
    inputs: dict[str, NDArray[np.int32]]
    context: tuple[int, int]
    offsets: NDArray[np.int32]
    null: int
    answer: tuple[int, int]

    def text(self, start: int, end: int, context: str) -> str:
        """The part of the context from token `start` to token `end`, both included."""
        first = self.context[0]
        return context[self.offsets[start - first, 0] : self.offsets[end - first, 1]]


def windows_of(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerBase, settings: QuestionModelSettings
) -> list[Window]:
    """Cut questions into windows, in order; a context that fits gives one.

    The answer to learn is the first one. In a window that holds only a part of it, or nothing, the answer is the
    class token: for the model it is as if the window had none (Devlin et al. 2018, arXiv 1810.04805, and their
    code for SQuAD).

    Args:
        questions: of one split.
        tokenizer: one that can say which characters a token stands for.
        settings: lengths in tokens.
    """
    windows: list[Window] = []
    for begin in range(0, len(questions), _AT_ONCE):
        part = questions[begin : begin + _AT_ONCE]
        windows += _cut(part, begin, tokenizer, settings)
    return windows


def _cut(
    questions: Sequence[Question], begin: int, tokenizer: PreTrainedTokenizerBase, settings: QuestionModelSettings
) -> list[Window]:
    encoded = tokenizer(
        _shortened([each.question for each in questions], tokenizer, settings.max_question_length),
        [each.context for each in questions],
        truncation="only_second",
        max_length=settings.max_length,
        stride=settings.stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    names = [name for name in tokenizer.model_input_names if name in encoded]
    windows = []
    for index, row in enumerate(encoded["overflow_to_sample_mapping"]):
        tokens = [place for place, sequence in enumerate(encoded.sequence_ids(index)) if sequence == 1]
        first, last = (tokens[0], tokens[-1]) if tokens else (0, -1)
        offsets = np.array(encoded["offset_mapping"][index][first : last + 1], dtype=np.int32).reshape(-1, 2)
        ids = encoded["input_ids"][index]
        null = ids.index(tokenizer.cls_token_id) if tokenizer.cls_token_id in ids else 0
        inputs = {name: np.array(encoded[name][index], dtype=np.int32) for name in names}
        answer = _answer(questions[row], offsets)
        windows.append(
            Window(
                begin + row,
                inputs,
                (first, last),
                offsets,
                null,
                (null, null) if answer is None else (first + answer[0], first + answer[1]),
            )
        )
    return windows


def _answer(question: Question, offsets: NDArray[np.int32]) -> tuple[int, int] | None:
    """First and last context token of the first answer, None if the window does not hold all of it."""
    if not question.answers or not len(offsets):
        return None
    begin = question.answers[0].start
    end = begin + len(question.answers[0].text)
    if offsets[0, 0] > begin or offsets[-1, 1] < end:
        return None
    first = int(np.searchsorted(offsets[:, 0], begin, side="right")) - 1
    last = int(np.searchsorted(offsets[:, 1], end, side="left"))
    return first, max(first, last)


def _shortened(questions: list[str], tokenizer: PreTrainedTokenizerBase, tokens: int) -> list[str]:
    """Questions of at most so many tokens, without the white space around them, of which some sets have lots."""
    questions = [question.strip() for question in questions]
    offsets = tokenizer(questions, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return [
        question[: places[tokens - 1][1]] if len(places) > tokens else question
        for question, places in zip(questions, offsets, strict=True)
    ]
