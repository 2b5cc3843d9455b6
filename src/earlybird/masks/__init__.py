"""Scores -> masks: at a ratio, with key/value groups and rounding."""

from earlybird.masks.at_ratio import mask_at_ratio
from earlybird.masks.rule import MaskRule, Prunable, mask_rules

__all__ = ["MaskRule", "Prunable", "mask_at_ratio", "mask_rules"]
