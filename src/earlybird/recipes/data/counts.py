"""What a source holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """Examples per split before any limit, and the names of the classes where there are classes."""

    train: int
    evaluation: int
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        classes = f" in {len(self.labels)} classes" if self.labels else ""
        return f"{self.train:,} training and {self.evaluation:,} evaluation examples{classes}"
