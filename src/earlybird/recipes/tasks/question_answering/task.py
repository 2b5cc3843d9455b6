"""Extractive question answering: the start and the end of the answer in its context, exact match and F1."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModelForQuestionAnswering, PreTrainedModel, PreTrainedTokenizerBase

from earlybird.errors import InputError
from earlybird.recipes.data.counts import Counts
from earlybird.recipes.tasks.base import Batch, Metric, Task
from earlybird.recipes.tasks.pretrained import check_length, pretrained_config, pretrained_tokenizer, with_new_head
from earlybird.recipes.tasks.question_answering.questions import QuestionData, read_questions
from earlybird.recipes.tasks.question_answering.settings import QuestionAnsweringRecipe
from earlybird.recipes.tasks.question_answering.spans import best_spans
from earlybird.recipes.tasks.question_answering.windows import Window, windows_of
from earlybird.recipes.tasks.squad_metric import answer_scores


class QuestionAnswering(Task):
    """Answers that are parts of a context. Items are windows; a batch is padded to its longest one."""

    def __init__(self, recipe: QuestionAnsweringRecipe) -> None:
        self._recipe = recipe

    @cached_property
    def _data(self) -> QuestionData:
        return read_questions(self._recipe.data)

    @cached_property
    def _no_answers(self) -> bool:
        """Whether questions may have no answer, so that the rules of SQuAD v2 hold."""
        return any(not question.answers for question in (*self._data.train, *self._data.evaluation))

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        tokenizer = pretrained_tokenizer(self._recipe.model.pretrained, self._recipe.model.max_length, texts=2)
        if not tokenizer.is_fast:
            raise InputError(
                f"{type(tokenizer).__name__} cannot say which characters a token stands for; question answering needs"
                " a model with a fast tokenizer (a tokenizer.json)"
            )
        return tokenizer

    @property
    def metric(self) -> Metric:
        """The recipe's choice; both are means over the questions."""
        return Metric(self._recipe.metric, per_example=True)

    @cached_property
    def train(self) -> list[Window]:
        """The windows of the training questions."""
        return windows_of(self._data.train, self._tokenizer, self._recipe.model)

    @cached_property
    def evaluation(self) -> list[Window]:
        """The windows of the evaluation questions."""
        return windows_of(self._data.evaluation, self._tokenizer, self._recipe.model)

    @property
    def evaluation_examples(self) -> int:
        """Number of evaluation questions."""
        return len(self._data.evaluation)

    @property
    def notes(self) -> tuple[str, ...]:
        """On questions without an answer: a single one decides by which rules all are judged."""
        if not self._no_answers:
            return ()
        counts = " and ".join(
            f"{sum(not question.answers for question in questions):,} of {len(questions):,} {name}"
            for questions, name in ((self._data.train, "training"), (self._data.evaluation, "evaluation"))
        )
        return (f"{counts} questions have no answer: all are judged by the rules of SQuAD v2",)

    def fetch(self) -> Counts:
        """Download or check questions, tokenizer and model."""
        counts = Counts(*self._data.found, notes=self.notes)
        self.initial_model()
        return counts

    def initial_model(self) -> PreTrainedModel:
        """The pretrained model with a new head."""
        pretrained = self._recipe.model.pretrained
        _ = self._tokenizer
        config = pretrained_config(pretrained, 2)
        model = with_new_head(AutoModelForQuestionAnswering, pretrained, config, self._recipe.seed)
        check_length(model, pretrained, self._recipe.model.max_length)
        return model

    def save_companions(self, directory: Path) -> None:
        """Write the tokenizer."""
        self._tokenizer.save_pretrained(directory)

    def collate(self, items: Sequence[Window]) -> Batch:
        """Pad: the model's inputs and `context`, (batch, longest), and the tokens of answer and `null`, (batch,)."""
        names = list(items[0].inputs)
        inputs = {name: [item.inputs[name].tolist() for item in items] for name in names}
        padded: Batch = dict(self._tokenizer.pad(inputs, padding_side="right", return_tensors="pt"))
        places = torch.arange(padded["input_ids"].shape[1])
        first, last = torch.tensor([item.context for item in items]).unbind(1)
        start, end = torch.tensor([item.answer for item in items]).unbind(1)
        return padded | {
            "context": (places >= first[:, None]) & (places <= last[:, None]),
            "null": torch.tensor([item.null for item in items]),
            "start": start,
            "end": end,
        }

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean of the cross-entropies of the answer's first and of its last token."""
        smoothing = self._recipe.training.label_smoothing
        start, end = (
            nn.functional.cross_entropy(logits, batch[name], label_smoothing=smoothing)
            for logits, name in zip(_logits(model, batch), ("start", "end"), strict=True)
        )
        return (start + end) / 2

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """Score of the best span, its first and last token, score of no answer: float32 (batch, 4)."""
        start, end = _logits(model, batch)
        score, first, last = best_spans(start, end, batch["context"], self._recipe.answers.max_length)
        null = batch["null"][:, None]
        no_answer = (start.gather(1, null) + end.gather(1, null)).squeeze(1)
        return torch.stack([score, first.float(), last.float(), no_answer], dim=1)

    def answers(self, predictions: NDArray[np.generic]) -> list[str]:
        """The answer to each evaluation question, "" for none.

        A question's best span is that of its best window. Where questions may have no answer, the score of none is
        the lowest over its windows, since each window without the answer says that it has none.
        """
        best: list[tuple[float, str]] = [(-np.inf, "")] * len(self._data.evaluation)
        none = [np.inf] * len(self._data.evaluation)
        for window, row in zip(self.evaluation, predictions.astype(np.float64), strict=True):
            score, first, last, no_answer = row.tolist()
            none[window.question] = min(none[window.question], no_answer)
            if score > best[window.question][0]:
                context = self._data.evaluation[window.question].context
                best[window.question] = (score, window.text(int(first), int(last), context))
        threshold = self._recipe.answers.no_answer_threshold
        return [
            "" if self._no_answers and no_answer - score > threshold else text
            for (score, text), no_answer in zip(best, none, strict=True)
        ]

    def metrics(self, predictions: NDArray[np.generic]) -> dict[str, float]:
        """Means of exact match and F1 over the evaluation questions."""
        scores = [
            answer_scores(text, [answer.text for answer in question.answers], no_answers=self._no_answers)
            for text, question in zip(self.answers(predictions), self._data.evaluation, strict=True)
        ]
        exact, f1 = 100.0 * np.mean(scores, axis=0)
        return {"exact_match": float(exact), "f1": float(f1)}

    def example_inputs(self) -> Batch:
        """One window of the greatest length."""
        return {"input_ids": torch.empty((1, self._recipe.model.max_length), dtype=torch.int64, device="meta")}


def _logits(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Scores of the first and of the last token, float32 (batch, tokens)."""
    ours = ("context", "null", "start", "end")
    outputs = model(**{name: value for name, value in batch.items() if name not in ours})
    return outputs.start_logits.float(), outputs.end_logits.float()
