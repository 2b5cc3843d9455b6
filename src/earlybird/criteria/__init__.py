"""Masks -> numbers: what a detector watches, and what judges a draw.

Shapes: masks and scores are `(..., layers, units)`; results are `(...)` in float64.
"""

from earlybird.criteria.captured import captured, captured_by
from earlybird.criteria.effective_rank import effective_rank
from earlybird.criteria.hamming_distance import hamming_distance
from earlybird.criteria.nuclear_norm import nuclear_norm
from earlybird.criteria.overlap import overlap
from earlybird.criteria.singular_values import singular_values

__all__ = [
    "captured",
    "captured_by",
    "effective_rank",
    "hamming_distance",
    "nuclear_norm",
    "overlap",
    "singular_values",
]
