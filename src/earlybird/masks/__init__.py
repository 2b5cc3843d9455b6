"""Scores -> masks: at a ratio or a budget, with key/value groups and rounding."""

from earlybird.masks.at_ratio import mask_at_ratio
from earlybird.masks.budget import BudgetRule, budget_rule
from earlybird.masks.rule import MaskRule, Prunable, Rule, mask_rules
from earlybird.masks.unit_costs import UnitCosts, WidthCurve

__all__ = [
    "BudgetRule",
    "MaskRule",
    "Prunable",
    "Rule",
    "UnitCosts",
    "WidthCurve",
    "budget_rule",
    "mask_at_ratio",
    "mask_rules",
]
