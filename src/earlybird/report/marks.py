"""The vertical lines of the plots: where the masks settled, and where the ticket was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from earlybird.report.analysis import Analysis
from earlybird.vocabulary import Kind

Role = Literal["draw", "settled", "hamming"]


@dataclass(frozen=True)
class Mark:
    """One line at a 0-based step, with its label."""

    step: int
    text: str
    role: Role


def marks_of(analysis: Analysis, kind: Kind, *, hamming: bool = False) -> list[Mark]:
    """The lines of one kind in order of the steps; with Hamming's rule for comparison where asked for."""

    def place(step: int) -> str:
        return f"step {step:,} ({analysis.percent(step):.1f}%)"

    marks: list[Mark] = []
    if hamming and kind in analysis.hamming:
        step = analysis.hamming[kind]
        marks.append(Mark(step, f"Hamming's rule: {place(step)}", "hamming"))
    if (draw := analysis.draws.get(kind)) is not None:
        if draw.settled is not None and draw.settled != draw.drawn:
            marks.append(Mark(draw.settled, f"settled: {place(draw.settled)}", "settled"))
        marks.append(Mark(draw.drawn, f"drawn: {place(draw.drawn)}", "draw"))
    return sorted(marks, key=lambda mark: mark.step)
