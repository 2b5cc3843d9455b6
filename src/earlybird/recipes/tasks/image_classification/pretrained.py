"""A pretrained Vision Transformer with a new head."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from transformers import AutoImageProcessor, AutoModelForImageClassification, PreTrainedModel

from earlybird.errors import InputError
from earlybird.recipes.data.images import Statistics
from earlybird.recipes.tasks.pretrained import FAILURES, not_found, pretrained_config, with_new_head

_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


class Pretrained:
    """A pretrained image model of the size of its own images, normalised as its image processor does.

    A directory without a processor (weights alone) leaves the normalisation to the training images.

    Raises:
        InputError: there is no such model, or it is not for square images.
    """

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._seed = seed
        config = pretrained_config(name, 2)
        size = getattr(config, "image_size", None)
        sides = set(size) if isinstance(size, (list, tuple)) else {size}
        side = sides.pop()
        if sides or not isinstance(side, int):
            raise InputError(
                f"model.pretrained {name} is no model for square images: its config says image_size={size!r}"
            )
        self.image_size: int = side
        self.channels: int = getattr(config, "num_channels", 3)

    @cached_property
    def statistics(self) -> Statistics | None:
        """Mean and standard deviation of the processor."""
        directory = Path(self._name)
        if directory.is_dir() and not any((directory / file).is_file() for file in _PROCESSOR_FILES):
            return None
        try:
            processor = AutoImageProcessor.from_pretrained(self._name, trust_remote_code=False)
            statistics = Statistics(tuple(processor.image_mean), tuple(processor.image_std))
        except (*FAILURES, AttributeError) as error:
            raise InputError(not_found(self._name, "image processor", error)) from error
        if {len(statistics.mean), len(statistics.std)} != {self.channels}:
            raise InputError(
                f"the image processor of {self._name} normalises {len(statistics.mean)} channels, the model takes"
                f" {self.channels}"
            )
        return statistics

    def build(self, labels: tuple[str, ...]) -> PreTrainedModel:
        """The pretrained backbone, and a head for the labels drawn by the seed."""
        config = pretrained_config(self._name, labels)
        return with_new_head(AutoModelForImageClassification, self._name, config, self._seed)
