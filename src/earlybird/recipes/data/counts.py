"""What a source holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """Examples per split before any limit, and the names of the classes where there are classes.

    `notes` are sentences on what a reader of the results should know: files that are not read, classes without
    examples.
    """

    train: int
    evaluation: int
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        classes = f" in {len(self.labels)} classes" if self.labels else ""
        counts = f"{self.train:,} training and {self.evaluation:,} evaluation examples{classes}"
        return "\n".join([counts, *(f"note: {note}" for note in self.notes)])
