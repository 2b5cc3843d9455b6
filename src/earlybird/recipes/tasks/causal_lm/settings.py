"""The settings of a language modelling recipe."""

from __future__ import annotations

import reprlib
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from earlybird.errors import InputError, nearest
from earlybird.extras import require
from earlybird.recipes.data.settings import SourceSettings
from earlybird.recipes.settings import PretrainedSettings, Recipe
from earlybird.recipes.settings_base import Settings


class LanguageDataSettings(SourceSettings):
    """Where the examples are, and what one is.

    `examples` says what a row holds: a conversation (`chat`: in `messages_column` a list of
    `{"role": ..., "content": ...}` that ends with the assistant's answer, written by the tokenizer's own chat
    template), a `prompt-completion` pair (in `prompt_column` and `completion_column`, taken as they are), or `text` (in
    `text_column`). Of the first two the loss is that of the answer alone, of text that of every token.

    `format` says how `source` is to be read: a Hugging Face hub name (`hub`), a directory of Parquet files in the hub's
    layout (`parquet`), or a directory with one file `{split}.jsonl` or `.json` per split (`json-lines`).
    """

    format: Literal["hub", "parquet", "json-lines"]
    source: Annotated[str, Field(min_length=1)]
    examples: Literal["chat", "prompt-completion", "text"] = "chat"
    messages_column: str = "messages"
    prompt_column: str = "prompt"
    completion_column: str = "completion"
    text_column: str = "text"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        match self.examples:
            case "chat":
                return (self.messages_column,)
            case "prompt-completion":
                return (self.prompt_column, self.completion_column)
            case "text":
                return (self.text_column,)


class LanguageModelSettings(PretrainedSettings):
    """A pretrained decoder, as it is: it gets no new head. Examples are cut to `max_length` tokens.

    `packing` puts plain texts one after the other and cuts that into pieces of `max_length`, so that nothing is
    padded. `lora` trains adapters in place of the weights: the arguments of PEFT's `LoraConfig`, as `{r: 16}`; by
    default on all linear layers. What comes out has them merged into its weights.
    """

    max_length: Annotated[int, Field(ge=2)] = 512
    packing: bool = False
    lora: dict[str, Any] | None = None

    @field_validator("lora")
    @classmethod
    def _peft_knows_it(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is None:
            return None
        require("peft", extra="lora", what="model.lora")
        from peft import LoraConfig

        known = [each.name for each in fields(LoraConfig) if each.init]
        for name in value:
            if name not in known:
                raise ValueError(f"lora: PEFT's LoraConfig has no {name!r}; {nearest(name, known)}")
        start = value.get("init_lora_weights", True)
        if start not in (True, False, "gaussian", "orthogonal"):
            raise ValueError(
                f"lora: init_lora_weights={start!r} changes the weights that the adapters are beside, which a run that"
                " saves and loads both cannot keep: leave it out, or give gaussian"
            )
        try:
            LoraConfig(**value)
        except (TypeError, ValueError, ImportError) as error:
            raise ValueError(f"lora: PEFT takes no {reprlib.repr(value)}: {error}") from error
        return value


class GenerationSettings(Settings):
    """How an answer is written for `exact_match` and `f1`: greedily, `max_new_tokens` at most."""

    max_new_tokens: Annotated[int, Field(ge=1)] = 64


class CausalLMRecipe(Recipe):
    """A pretrained decoder on text.

    `token_accuracy` is the share of the answers' tokens that are the most probable ones, given all before them.
    `exact_match` and `f1` compare an answer that the model writes with the one in the data, by the rules of SQuAD.
    Perplexity, of the answers alone, is told beside any of them.
    """

    task: Literal["causal-lm"]
    metric: Literal["token_accuracy", "exact_match", "f1"] = "token_accuracy"
    data: LanguageDataSettings
    model: LanguageModelSettings
    generation: GenerationSettings = GenerationSettings()

    @property
    def writes_answers(self) -> bool:
        """Whether the metric is of answers that the model writes."""
        return self.metric != "token_accuracy"

    @model_validator(mode="after")
    def _plain_text_has_no_answers(self) -> CausalLMRecipe:
        if self.data.examples == "text" and self.writes_answers:
            raise InputError(f"metric={self.metric} is of answers, and plain text has none: choose token_accuracy")
        if self.model.packing and self.data.examples != "text":
            raise InputError(
                f"model.packing puts plain texts together, and data.examples is {self.data.examples}: an answer would"
                " be read with another's prompt before it"
            )
        return self
