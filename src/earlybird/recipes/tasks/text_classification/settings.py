"""The settings of a text classification or regression recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from earlybird.recipes.data.settings import SourceSettings
from earlybird.recipes.settings import PretrainedSettings, Recipe

REGRESSION = ("pearson", "spearman")


class TextDataSettings(SourceSettings):
    """Where the texts are: one or two columns of text, and a column of labels or values.

    `format` says how `source` is to be read: a Hugging Face hub name (`hub`), a directory of Parquet files in
    the hub's layout (`parquet`), or a directory with one file per split (`tsv`: tabs, quotes have no meaning,
    as in GLUE; `csv`; `json-lines`). The file is `{split}.tsv`, `.csv`, `.jsonl` or `.json`, or the split's name
    is a file's own. `columns` names the columns of a TSV or CSV file that has no header.
    """

    format: Literal["hub", "parquet", "tsv", "csv", "json-lines"]
    source: Annotated[str, Field(min_length=1)]
    eval_split: str = "validation"
    columns: tuple[str, ...] | None = None
    text_column: str = "sentence"
    second_text_column: str | None = None
    label_column: str = "label"

    @model_validator(mode="after")
    def _columns_belong_to_a_file(self) -> TextDataSettings:
        if self.columns is not None and self.format not in ("tsv", "csv"):
            raise ValueError(f"data.columns names the columns of a TSV or CSV file, data.format is {self.format}")
        return self


class TextModelSettings(PretrainedSettings):
    """A pretrained model; texts are cut to `max_length` tokens."""

    max_length: Annotated[int, Field(ge=4)] = 128


class TextClassificationRecipe(Recipe):
    """A pretrained model on texts or pairs of texts; `metric` decides between classes and values."""

    task: Literal["text-classification"]
    metric: Literal["accuracy", "f1", "matthews_correlation", "pearson", "spearman"] = "accuracy"
    data: TextDataSettings
    model: TextModelSettings

    @property
    def regression(self) -> bool:
        """Whether the labels are values."""
        return self.metric in REGRESSION

    @model_validator(mode="after")
    def _values_are_not_smoothed(self) -> TextClassificationRecipe:
        if self.regression and self.training.label_smoothing:
            raise ValueError("training.label_smoothing is for classes, and a correlation is computed from values")
        return self
