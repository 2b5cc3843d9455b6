"""The settings of a recipe's data that all tasks share, and those of images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from earlybird.recipes.settings_base import Settings

DEFAULT_LABEL_COLUMN = "label"


class SourceSettings(Settings):
    """Where the examples are; each task adds the formats and the columns that it reads.

    `format` says how `source`, a hub name or a directory, is to be read; `train_limit` and `eval_limit` take the
    first so many examples of a shuffle with seed 0.
    """

    format: str
    source: str = ""
    config: str | None = None
    train_split: str = "train"
    eval_split: str = "test"
    train_limit: Annotated[int, Field(ge=1)] | None = None
    eval_limit: Annotated[int, Field(ge=1)] | None = None


class ImageDataSettings(SourceSettings):
    """Where the images are.

    `format` says how `source` is to be read: a Hugging Face hub name (`hub`), a directory of Parquet files in
    the hub's layout (`parquet`: `train*.parquet`, `test*.parquet`), one folder per class below one folder per
    split (`image-folder`), the four IDX files of MNIST and its successors (`idx`), or scikit-learn's bundled
    handwritten digits (`digits`, which needs no source).

    `label_column` is "label" unless it is said otherwise. The classes of an image folder are its folders; where
    `metadata.csv`, `.jsonl` or `.parquet` lies in every split, `label_column` takes them from a column of it instead.

    `eval_share` of the digits, which come without a split, is held out: at least a tenth and at most nine tenths.
    """

    format: Literal["hub", "parquet", "image-folder", "idx", "digits"]
    image_column: str = "image"
    eval_share: Annotated[float, Field(ge=0.1, le=0.9)] = 0.25
    label_column: str | None = Field(
        default_factory=lambda data: None if data.get("format") == "image-folder" else DEFAULT_LABEL_COLUMN
    )

    @model_validator(mode="after")
    def _source_is_named(self) -> ImageDataSettings:
        if self.format != "digits" and not self.source:
            raise ValueError(f"data.source is missing: data.format={self.format} needs a hub name or a directory")
        if self.format != "digits" and self.eval_share != type(self).model_fields["eval_share"].default:
            raise ValueError(f"data.eval_share splits the digits; data.format={self.format} has splits of its own")
        return self
