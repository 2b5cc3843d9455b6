"""The two pictures of a run as PNG files, 1,800 pixels wide, to be shown at 900."""

from __future__ import annotations

from pathlib import Path

from earlybird.report.analysis import Analysis
from earlybird.report.figures.coefficients import coefficients_figure
from earlybird.report.figures.norm import norm_figure
from earlybird.report.run import Run

_DOTS = 200  # per inch


def write_figures(run: Run, analysis: Analysis, directory: Path) -> list[Path]:
    """Write `norm.png` and `coefficients.png` where there is something to show; the paths written."""
    written: list[Path] = []
    for name, figure in (
        ("norm.png", norm_figure(run.name, analysis)),
        ("coefficients.png", coefficients_figure(run.name, analysis)),
    ):
        if figure is None:
            continue
        directory.mkdir(parents=True, exist_ok=True)
        figure.savefig(directory / name, dpi=_DOTS)
        written.append(directory / name)
    return written
