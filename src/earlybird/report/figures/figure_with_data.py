"""One figure with the data that it shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from earlybird.report.figures.style import DOTS
from earlybird.report.figures.table_file import write_table


@dataclass(frozen=True)
class FigureWithData:
    """What the function of a figure makes.

    Attributes:
        figure: the picture.
        columns: the names of the data's columns.
        rows: the data behind it.
    """

    figure: Figure
    columns: Sequence[str]
    rows: Iterable[Sequence[object]]

    def write(self, directory: Path, name: str) -> list[Path]:
        """Write NAME.png, NAME.svg and NAME.csv; the paths written."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = [directory / f"{name}.{suffix}" for suffix in ("png", "svg", "csv")]
        self.figure.savefig(paths[0], dpi=DOTS)
        # Without a date and with a fixed salt for its identifiers a picture of the same data is the same file.
        with rc_context({"svg.hashsalt": name}):
            self.figure.savefig(paths[1], metadata={"Date": None})
        write_table(paths[2], self.columns, self.rows)
        return paths
