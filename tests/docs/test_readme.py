"""The README is short, and says what was measured."""

from __future__ import annotations

import csv
import re
import runpy
import statistics
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results" / "defaults-sst2"
PAGE_OF_RESULTS = (RESULTS / "README.md").read_text(encoding="utf-8")


def of_the_default(name: str) -> list[float]:
    with (RESULTS / "three-costs.csv").open(encoding="utf-8", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row["row"] == "default"]


def test_it_is_read_in_two_minutes() -> None:
    assert len(README.split()) < 500


def test_its_first_numbers_are_those_of_the_results() -> None:
    said = re.search(
        r"takes (\d+)% of dense training's FLOPs and (\d+)% of its seconds. The network that is left takes\s+(\d+)%"
        r" of the FLOPs of an answer. Its accuracy is ([\d.]+) points \(± ([\d.]+)\) lower",
        README,
    )
    assert said is not None
    below = of_the_default("difference")
    seconds = re.search(r"search, then the small network \|[^|]*\| \*\*(\d+\.\d)%\*\*", PAGE_OF_RESULTS)
    assert seconds is not None
    assert said.groups() == (
        f"{statistics.mean(of_the_default('training_flops')):.0%}".rstrip("%"),
        f"{float(seconds.group(1)):.0f}",
        f"{statistics.mean(of_the_default('answer_flops')):.0%}".rstrip("%"),
        f"{-statistics.mean(below):.1f}",
        f"{statistics.stdev(below) / len(below) ** 0.5:.1f}",
    )


def test_its_picture_is_drawn_from_them() -> None:
    script = runpy.run_path(str(ROOT / "website" / "concept.py"))
    drawn = script["svg"](*script["measured"]())
    assert (ROOT / "docs" / "concept.svg").read_text(encoding="utf-8") == drawn, "run `python website/concept.py`"
