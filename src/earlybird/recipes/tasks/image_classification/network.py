"""The network of an image recipe: what it takes, and where its weights come from."""

from __future__ import annotations

from typing import Protocol

from transformers import PreTrainedModel

from earlybird.recipes.data.images import Statistics


class ImageNetwork(Protocol):
    """A classifier of square images.

    Attributes:
        image_size: side in pixels.
        channels: 1 (grey) or 3 (RGB).
        statistics: what its images are normalised by; None for those of the training images.
    """

    @property
    def image_size(self) -> int: ...  # noqa: D102
    @property
    def channels(self) -> int: ...  # noqa: D102
    @property
    def statistics(self) -> Statistics | None: ...  # noqa: D102

    def build(self, labels: tuple[str, ...]) -> PreTrainedModel:
        """The model before any training."""
