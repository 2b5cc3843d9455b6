"""What the stages of a run need to know of its task: the contract, and nothing of any one task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from earlybird.recipes.data.counts import Counts

Batch = dict[str, Tensor]


class Items(Protocol):
    """Training or evaluation items by index, as torch's `DataLoader` takes them."""

    def __len__(self) -> int:
        """Return the number of items."""

    def __getitem__(self, index: int, /) -> Any:
        """Return an item as the task's `collate` takes it."""


@dataclass(frozen=True)
class Metric:
    """The number that a task is judged by, in percent.

    Attributes:
        name: its key in result.json and summary.json.
        per_example: it is the mean of a value in [0, 1] per example, so that the error of chance is known.
    """

    name: str
    per_example: bool


class Task(ABC):
    """Data, model, loss and metrics of a recipe; the stages train and prune without knowing which task it is.

    Items are gathered into batches by `collate` on the CPU; `loss` and `predict` get them on the model's device.
    Training items are counted for the steps of an epoch. One evaluation example may take several items.
    """

    @property
    @abstractmethod
    def metric(self) -> Metric:
        """What the task is judged by; one of the names that `metrics` returns."""

    @property
    @abstractmethod
    def train(self) -> Items:
        """The training items."""

    @property
    @abstractmethod
    def evaluation(self) -> Items:
        """The evaluation items, in the order that `metrics` gets their predictions."""

    @property
    def evaluation_examples(self) -> int:
        """Number of examples behind the metrics."""
        return len(self.evaluation)

    @property
    def notes(self) -> Sequence[str]:
        """Sentences on the data that a reader of the results should know, such as on classes without examples."""
        return ()

    @property
    def lora(self) -> Mapping[str, Any] | None:
        """Arguments of PEFT's `LoraConfig`, where adapters train in place of the weights."""
        return None

    @abstractmethod
    def fetch(self) -> Counts:
        """Download or check data and pretrained weights ahead of a run; the counts hold the notes.

        Raises:
            InputError: something is missing or malformed; the message names it and what was expected.
        """

    def check_evaluation(self) -> None:  # noqa: B027 (most tasks need none)
        """Find evaluation items that cannot be used before a training begins, at whose end they would be met.

        Raises:
            InputError: there are some; the message names them.
        """

    @abstractmethod
    def initial_model(self) -> PreTrainedModel:
        """The model before any training; what is not pretrained is drawn by the recipe's seed.

        Raises:
            InputError: there are no such pretrained weights.
        """

    def save_companions(self, directory: Path) -> None:  # noqa: B027 (most tasks need none)
        """Write what belongs to a saved model besides its weights: tokenizer or image processor."""

    @abstractmethod
    def collate(self, items: Sequence[Any]) -> Batch:
        """Gather items into a batch of tensors."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The training loss of a batch, a scalar in float32."""

    def forward(self, model: nn.Module, batch: Batch) -> None:
        """Run the model on a batch, for what is read inside it; by default what `predict` does."""
        self.predict(model, batch)

    @abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """What the model says of an evaluation batch: (items, ...), of one shape for all batches but for `items`."""

    @abstractmethod
    def metrics(self, predictions: NDArray[np.generic]) -> dict[str, float]:
        """Metrics in percent by name from the predictions for all evaluation items, in order."""

    @abstractmethod
    def example_inputs(self) -> Batch:
        """One example's worth of input on the meta device, to count a forward pass by: only its shape matters."""
