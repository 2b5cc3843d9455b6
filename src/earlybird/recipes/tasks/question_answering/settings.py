"""The settings of an extractive question answering recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from earlybird.recipes.data.settings import SourceSettings
from earlybird.recipes.settings import PretrainedSettings, Recipe
from earlybird.recipes.settings_base import Settings


class QuestionDataSettings(SourceSettings):
    """Where the questions are.

    `format` says how `source` is to be read: a directory with one file `{split}.json` in SQuAD's format, v1.1 or
    v2 (`squad`), or a Hugging Face hub name (`hub`) or a directory of Parquet files in the hub's layout
    (`parquet`) with the columns id, question, context and answers (text and answer_start). In SQuAD's own files
    the splits are called `train-v1.1` and `dev-v1.1`, or `-v2.0`.
    """

    format: Literal["squad", "hub", "parquet"]
    source: Annotated[str, Field(min_length=1)]
    eval_split: str = "validation"


class QuestionModelSettings(PretrainedSettings):
    """A pretrained model, and how a long context is cut into windows; lengths in tokens.

    A window holds the question and a part of the context, `max_length` in all; neighbouring windows share
    `stride` tokens of the context. A question is cut to `max_question_length`.
    """

    max_length: Annotated[int, Field(ge=8)] = 384
    stride: Annotated[int, Field(ge=0)] = 128
    max_question_length: Annotated[int, Field(ge=1)] = 64

    @model_validator(mode="after")
    def _context_has_room(self) -> QuestionModelSettings:
        # Families put up to four special tokens around question and context.
        if self.max_length <= self.stride + self.max_question_length + 4:
            raise ValueError(
                f"model.max_length must exceed stride, max_question_length and 4 special tokens together, got"
                f" {self.max_length} with {self.stride} and {self.max_question_length}"
            )
        return self


class AnswerSettings(Settings):
    """How an answer is read off the model's scores.

    `max_length` is in tokens. Where questions may have no answer, none is given if its score exceeds the best
    answer's by more than `no_answer_threshold`.
    """

    max_length: Annotated[int, Field(ge=1)] = 30
    no_answer_threshold: float = 0.0


class QuestionAnsweringRecipe(Recipe):
    """A pretrained model that finds the answer to a question in a text."""

    task: Literal["question-answering"]
    metric: Literal["f1", "exact_match"] = "f1"
    data: QuestionDataSettings
    model: QuestionModelSettings
    answers: AnswerSettings = AnswerSettings()
