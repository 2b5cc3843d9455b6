"""What happens to a training batch between the data and the network."""

from earlybird.recipes.augmentation.pipeline import Augmentation, normalise

__all__ = ["Augmentation", "normalise"]
