"""The report of a run, written."""

from __future__ import annotations

from pathlib import Path

from earlybird.atomic_write import write_whole
from earlybird.recipes.run_directory import RunDirectory
from earlybird.report.analysis import analyse
from earlybird.report.figures.pictures import write_pictures
from earlybird.report.page.page import page
from earlybird.report.run import read_run


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
    write_pictures(run, analysis, root / "figures")
    target = RunDirectory(root).report
    write_whole(target, page(run, analysis))
    return target
