"""Language modelling: the next token of an answer or a text, cross-entropy, and answers written greedily."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from earlybird.anatomy.wrappers import unwrapped
from earlybird.errors import InputError
from earlybird.recipes.data.counts import Counts
from earlybird.recipes.tasks.base import Batch, Metric, Task
from earlybird.recipes.tasks.causal_lm.examples import LanguageData, read_examples
from earlybird.recipes.tasks.causal_lm.settings import CausalLMRecipe
from earlybird.recipes.tasks.causal_lm.tokens import Tokens, tokens_of
from earlybird.recipes.tasks.position_limit import position_limit
from earlybird.recipes.tasks.pretrained import as_it_is, check_length, decoder_tokenizer, refuse_seeing_ahead
from earlybird.recipes.tasks.squad_metric import answer_scores

_UNLEARNT = -100  # cross_entropy's own


class CausalLM(Task):
    """Next tokens. A batch is padded to its longest item, behind its tokens."""

    def __init__(self, recipe: CausalLMRecipe) -> None:
        self._recipe = recipe

    @cached_property
    def _data(self) -> LanguageData:
        return read_examples(self._recipe.data)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return decoder_tokenizer(self._recipe.model.pretrained, self._recipe.model.max_length)

    @property
    def metric(self) -> Metric:
        """The recipe's choice; what is said of each answer is a mean over these, the rest one over all tokens."""
        return Metric(self._recipe.metric, per_example=self._recipe.writes_answers)

    @cached_property
    def train(self) -> list[Tokens]:
        """The training items."""
        model = self._recipe.model
        return tokens_of(self._data.train, self._tokenizer, model.max_length, packing=model.packing)

    @cached_property
    def evaluation(self) -> list[Tokens]:
        """The evaluation items."""
        model = self._recipe.model
        items = tokens_of(self._data.evaluation, self._tokenizer, model.max_length, packing=model.packing)
        if self._recipe.writes_answers and (empty := sum(item.given == 0 for item in items)):
            raise InputError(
                f"{empty:,} of {len(items):,} evaluation examples have no prompt, after which a model could write an"
                f" answer: leave them out, or judge by metric=token_accuracy, not {self._recipe.metric}"
            )
        return items

    @property
    def notes(self) -> tuple[str, ...]:
        """On examples that were cut."""
        said = []
        for name, items in (("training", self.train), ("evaluation", self.evaluation)):
            if cut := sum(item.cut for item in items):
                said.append(
                    f"{cut:,} of {len(items):,} {name} examples are longer than model.max_length="
                    f"{self._recipe.model.max_length:,} tokens and end there"
                )
        return tuple(said)

    @property
    def lora(self) -> dict[str, Any] | None:
        """The recipe's."""
        return self._recipe.model.lora

    def fetch(self) -> Counts:
        """Download or check examples, tokenizer and model."""
        counts = Counts(*self._data.found, notes=self.notes)
        self.initial_model()
        return counts

    def initial_model(self) -> PreTrainedModel:
        """The pretrained model."""
        pretrained = self._recipe.model.pretrained
        _ = self._tokenizer
        model = as_it_is(AutoModelForCausalLM, pretrained)
        check_length(model, pretrained, self._recipe.model.max_length)
        refuse_seeing_ahead(model, pretrained)
        limit, most = position_limit(model), self._recipe.generation.max_new_tokens
        longest = max((item.given for item in self.evaluation), default=0)
        if self._recipe.writes_answers and limit is not None and longest + most > limit:
            raise InputError(
                f"generation.max_new_tokens must be at most {limit - longest} for {pretrained}, whose positions end at"
                f" {limit}, behind a prompt of {longest} tokens, got {most}"
            )
        return model

    def save_companions(self, directory: Path) -> None:
        """Write the tokenizer."""
        self._tokenizer.save_pretrained(directory)

    def collate(self, items: Sequence[Tokens]) -> Batch:
        """Pad: token numbers, which of them are no padding, and the labels, -100 for none; int64 (batch, longest)."""
        longest = max(len(item.numbers) for item in items)
        # The mask hides what is padded with; a padding token may be none of the model's.
        numbers = torch.full((len(items), longest), self._tokenizer.eos_token_id)
        mask, labels = torch.zeros_like(numbers), torch.full_like(numbers, _UNLEARNT)
        for row, item in enumerate(items):
            own = torch.tensor(item.numbers)
            numbers[row, : len(own)], mask[row, : len(own)] = own, 1
            labels[row, item.given : len(own)] = own[item.given :]
        return {"input_ids": numbers, "attention_mask": mask, "labels": labels}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean cross-entropy of the tokens that are learnt."""
        logits, labels = _next_tokens(model, batch)
        learnt = labels != _UNLEARNT
        smoothing = self._recipe.training.label_smoothing
        return nn.functional.cross_entropy(logits[learnt].float(), labels[learnt], label_smoothing=smoothing)

    def forward(self, model: nn.Module, batch: Batch) -> None:
        """One forward pass over the items, without writing answers."""
        _next_tokens(model, batch)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """Of each item what `metrics` reads: float64 (batch, 3 + tokens of an answer).

        First the sum of the negative log-likelihoods of its tokens, their number, and how many were the most probable
        ones; then the numbers of the answer's tokens, where one is written, ended by -1.
        """
        logits, labels = _next_tokens(model, batch)
        learnt = labels != _UNLEARNT
        logits, labels = logits[learnt].float(), labels[learnt]
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        each = torch.stack([losses, torch.ones_like(losses), (logits.argmax(-1) == labels).float()], dim=1)
        rows = learnt.nonzero()[:, 0]
        numbers = each.new_zeros((len(learnt), 3), dtype=torch.float64).index_add(0, rows, each.double())
        if not self._recipe.writes_answers:
            return numbers
        return torch.cat([numbers, self._written(model, batch).double()], dim=1)

    def metrics(self, predictions: NDArray[np.generic]) -> dict[str, float]:
        """Perplexity and token accuracy, and of written answers exact match and F1."""
        loss, tokens, right = predictions[:, :3].astype(np.float64).sum(0)
        found = {"perplexity": math.exp(min(loss / tokens, 700.0)), "token_accuracy": 100.0 * float(right / tokens)}
        if self._recipe.writes_answers:
            scores = [
                answer_scores(self._text(row), [item.learnt], no_answers=False)
                for row, item in zip(predictions[:, 3:].astype(np.int64), self.evaluation, strict=True)
            ]
            exact, f1 = 100.0 * np.mean(scores, axis=0)
            found |= {"exact_match": float(exact), "f1": float(f1)}
        return found

    def example_inputs(self) -> Batch:
        """One example of the greatest length."""
        return {"input_ids": torch.empty((1, self._recipe.model.max_length), dtype=torch.int64, device="meta")}

    def _ends(self, model: nn.Module) -> list[int]:
        """The tokens that end an answer: the tokenizer's, the model's, and that which ends all those in the data."""
        own = getattr(getattr(unwrapped(model), "generation_config", None), "eos_token_id", None)
        last = {item.numbers[-1] for item in self.evaluation if not item.cut}
        said = [own] if isinstance(own, int) else own or []
        return sorted({self._tokenizer.eos_token_id, *said, *(last if len(last) == 1 else ())})

    def _written(self, model: nn.Module, batch: Batch) -> Tensor:
        """The tokens of greedy answers, int64 (batch, most tokens of an answer); -1 behind the end."""
        most, ends = self._recipe.generation.max_new_tokens, self._ends(model)
        given = [
            row[: int((labels != _UNLEARNT).nonzero()[0])]
            for row, labels in zip(batch["input_ids"], batch["labels"], strict=True)
        ]
        longest = max(len(prompt) for prompt in given)
        # Padded in front, so that every answer begins behind its prompt.
        prompts = torch.stack([nn.functional.pad(row, (longest - len(row), 0), value=ends[0]) for row in given])
        lengths = torch.tensor([len(prompt) for prompt in given], device=prompts.device)
        mask = torch.arange(longest, device=prompts.device) >= longest - lengths[:, None]
        decoder: Any = unwrapped(model)
        own = decoder.generation_config
        # Its own settings may penalise, forbid or force tokens, and fill in whatever is not said.
        decoder.generation_config = GenerationConfig(max_new_tokens=most, pad_token_id=ends[0], eos_token_id=ends)
        try:
            whole: Tensor = decoder.generate(input_ids=prompts, attention_mask=mask.long(), do_sample=False)
        finally:
            decoder.generation_config = own
        answers = whole[:, longest:]
        behind = torch.isin(answers, torch.tensor(ends, device=answers.device)).cumsum(1) > 0
        return nn.functional.pad(answers.masked_fill(behind, -1), (0, most - answers.shape[1]), value=-1)

    def _text(self, numbers: NDArray[np.int64]) -> str:
        return str(self._tokenizer.decode(numbers[numbers >= 0].tolist(), skip_special_tokens=True))


def _next_tokens(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits of the next token (batch, tokens - 1, vocabulary), and which one it is (batch, tokens - 1)."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits[:, :-1], batch["labels"][:, 1:]
