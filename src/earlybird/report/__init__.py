"""What people look at: the plots and the HTML report of a run. Imports no torch: a laptop can do it."""

from __future__ import annotations

from pathlib import Path

from earlybird.recipes.run_directory import RunDirectory
from earlybird.report.analysis import analyse
from earlybird.report.figures import write_figures
from earlybird.report.page import page
from earlybird.report.run import read_run
from earlybird.report.verdict import verdict
from earlybird.whole_file import write_whole

__all__ = ["verdict", "write_report"]


def write_report(root: Path) -> Path:
    """Write `report.html` and the pictures in `figures/` from what a run has left in its directory so far.

    Args:
        root: the run's directory, of a finished run or not; what is missing is said in the report.

    Returns:
        The path of the HTML file, which needs no other file and no network.

    Raises:
        InputError: there is no such directory, or it is not a run's.
    """
    run = read_run(root)
    analysis = analyse(run)
    write_figures(run, analysis, root / "figures")
    target = RunDirectory(root).report
    write_whole(target, page(run, analysis))
    return target
