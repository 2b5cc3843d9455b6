"""One split of a source as a table."""

from __future__ import annotations

from dataclasses import dataclass

import datasets


@dataclass(frozen=True)
class Table:
    """Rows in memory-mapped Arrow, and what to call them in error messages.

    `parts` names the files that they lie in, each with its number of rows, in order; () where they are not known.
    """

    rows: datasets.Dataset
    where: str
    parts: tuple[tuple[str, int], ...] = ()
