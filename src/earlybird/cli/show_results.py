"""Printing what a run has given, and where its report is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from earlybird.extras import lacking

REPORT_PACKAGES = ("matplotlib", "plotly")


def show_results(root: Path, *, as_json: bool) -> None:
    """Write the report and summary.json of a run, finished or not, and print the outcome."""
    from rich.console import Console

    from earlybird.cli.tables import results_table
    from earlybird.recipes.run_directory import RESULT, RunDirectory
    from earlybird.recipes.stages.summary import summarise
    from earlybird.report.verdict import verdict

    # First, so that a run in which nothing has finished, or something is damaged, has one, too.
    page = _written_report(root)
    summary: dict[str, Any] = {}
    sentence = "Not finished: no stage has ended yet."
    if any(root.rglob(RESULT)):
        summary = summarise(RunDirectory(root))
        page = _written_report(root)
        sentence = verdict(summary)
    if as_json:
        print(json.dumps(summary or {"unfinished": sentence, "report": page}, indent=1))
        if summary and not Path(page).is_file():
            print(f"Report: {page}", file=sys.stderr)
        return
    console = Console()
    if summary:
        console.print(results_table(summary))
    console.print(sentence, soft_wrap=True, markup=False)
    console.print(f"Report: {page}", soft_wrap=True, markup=False)


def show_comparison(first: Path, second: Path, output: Path | None, *, as_json: bool) -> None:
    """Write the page that shows two runs side by side, and print how they differ."""
    from rich.console import Console

    from earlybird.cli.tables import results_table
    from earlybird.recipes.run_directory import RESULT, RunDirectory
    from earlybird.recipes.stages.summary import summarise
    from earlybird.report.comparison import NAMES, compare_runs
    from earlybird.report.page.comparison_page import write_comparison

    for root in (first, second):
        # Of a run that only its summary is left of, that is taken.
        if root.is_dir() and any(root.rglob(RESULT)):
            summarise(RunDirectory(root))
    comparison = compare_runs(first, second)
    page = write_comparison(comparison, output or first / f"compared-with-{second.resolve().name}.html")
    if as_json:
        runs = {
            name: {"run": str(run.root), **(run.summary or {})}
            for name, run in zip(NAMES, comparison.runs, strict=True)
        }
        content = {"headline": comparison.headline, **runs, "differences": comparison.differences, "page": str(page)}
        print(json.dumps(content, indent=1))
        return
    console = Console()
    for name, run in zip(NAMES, comparison.runs, strict=True):
        console.print(f"{name}: {run.root}", soft_wrap=True, markup=False)
        console.print(results_table(run.summary or {}))
    console.print(comparison.headline, soft_wrap=True, markup=False)
    console.print(f"Side by side: {page}", soft_wrap=True, markup=False)


def _written_report(root: Path) -> str:
    """Where the report was written, or what it lacks: a job is not lost for that."""
    if sentence := lacking(REPORT_PACKAGES, extra="report", what="the report"):
        return f"not written, {sentence}"
    from earlybird.report.write import write_report

    return str(write_report(root))
