"""The two pictures that come with a report, as PNG files."""

from __future__ import annotations

from pathlib import Path

from earlybird.report.analysis import Analysis
from earlybird.report.figures.coefficients import coefficients_picture
from earlybird.report.figures.norm import norm_picture
from earlybird.report.figures.style import DOTS
from earlybird.report.run import Run


def write_pictures(run: Run, analysis: Analysis, directory: Path) -> list[Path]:
    """Write `norm.png` and `coefficients.png` where there is something to show; the paths written."""
    written: list[Path] = []
    for name, figure in (
        ("norm.png", norm_picture(run.name, analysis)),
        ("coefficients.png", coefficients_picture(run.name, analysis)),
    ):
        if figure is None:
            continue
        directory.mkdir(parents=True, exist_ok=True)
        figure.savefig(directory / name, dpi=DOTS)
        written.append(directory / name)
    return written
