"""An animation as one picture after the other, with the data that it shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from earlybird.report.figures.table_file import write_table

_DOTS = 100  # per inch: many pictures, each seen for a moment


@dataclass(frozen=True)
class FramesWithData:
    """What the function of an animation makes.

    Attributes:
        frames: the pictures in their order, each written before the next is drawn.
        columns: the names of the data's columns.
        rows: the data behind it.
    """

    frames: Iterable[Figure]
    columns: Sequence[str]
    rows: Iterable[Sequence[object]]

    def write(self, directory: Path, name: str) -> list[Path]:
        """Write NAME/frame-000.png and so on, in place of earlier ones, and NAME.csv; the directory and that file."""
        inside, data = directory / name, directory / f"{name}.csv"
        inside.mkdir(parents=True, exist_ok=True)
        written: set[Path] = set()
        for number, figure in enumerate(self.frames):
            path = inside / f"frame-{number:03}.png"
            figure.savefig(path, dpi=_DOTS)
            written.add(path)
        for left in set(inside.glob("frame-[0-9][0-9][0-9].png")) - written:
            left.unlink()  # of a longer animation before
        write_table(data, self.columns, self.rows)
        return [inside, data]
