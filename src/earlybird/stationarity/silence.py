"""Libraries warn of what the rules on degenerate windows have already dealt with."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep a library's warnings, of ranks, interpolation, iterations or 0/0, from the user; errors pass."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
