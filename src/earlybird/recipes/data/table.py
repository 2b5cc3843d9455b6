"""One split of a source as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import pyarrow  # type: ignore[import-untyped]

from earlybird.errors import InputError


@dataclass(frozen=True)
class Table:
    """Rows in memory-mapped Arrow, and what to call them in error messages.

    `parts` names the files that they lie in, each with its number of rows, in order; () where they are not known.
    """

    rows: datasets.Dataset
    where: str
    parts: tuple[tuple[str, int], ...] = ()

    def columns(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the values of columns as Python objects.

        Raises:
            InputError: a text is not UTF-8; the message names the row.
        """
        table = self.rows.select_columns(list(names)).with_format("arrow")[:]
        return {name: self._values(name, table.column(name)) for name in names}

    def _values(self, name: str, column: pyarrow.ChunkedArray) -> list[Any]:
        values: list[Any] = []
        try:
            # One by one, so that their number tells the row.
            values.extend(value.as_py() for value in column)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.where}, row {len(values)}: {name!r} is not UTF-8: write the file anew with texts in UTF-8"
            ) from error
        return values
