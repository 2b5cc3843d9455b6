"""The results that are kept in the repository, of earlier versions too, read as what they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from earlybird.recipes.former_names import todays_draw, todays_summary
from earlybird.report.analysis import analyse
from earlybird.report.run import read_run
from earlybird.report.verdict import verdict
from earlybird.report.write import write_report

RESULTS = Path(__file__).parents[2] / "benchmarks/results"
RUNS = sorted(path.parent for path in RESULTS.glob("*/draw.json"))


def test_there_are_some() -> None:
    assert {"minilm-qa", "minilm-sst2", "vit-cifar10-cpu", "vit-fashion-mnist"} <= {root.name for root in RUNS}


@pytest.mark.parametrize("root", RUNS, ids=lambda root: root.name)
def test_a_committed_run_reads(root: Path, tmp_path: Path) -> None:
    run = read_run(root)
    # The records are too large to be kept, and so are the networks.
    assert set(run.missing) <= {"trajectory", "result", "random"}
    assert run.search is not None
    assert run.draw is not None
    assert run.ticket is not None
    assert run.summary is not None
    assert run.draw["how"] == run.summary["ticket"]["how"] == "detector"
    assert run.search.detector == run.draw["detector"] == "equivalence"
    assert run.search.score == run.draw["score"]
    for kind in run.draw["kinds"]:
        assert getattr(run.search, kind) == run.draw[f"{kind}_ratio"]
        assert run.search.scope(kind) == run.draw[f"{kind}_scope"]
        assert run.draw["kept_by_minimum"][kind] == []
    assert verdict(run.summary).startswith("Drawn at ")
    assert analyse(run).draw_step is None

    copied = tmp_path / root.name
    shutil.copytree(root, copied)
    page = write_report(copied).read_text(encoding="utf-8")
    assert verdict(run.summary) in page
    assert f"Drawn at step {run.draw['step']:,} by equivalence: " in page


@pytest.mark.parametrize(
    ("detector", "how", "kept"), [("end", "end", None), ("step 260", "step", None), ("ols", "detector", "ols")]
)
def test_how_stood_in_the_place_of_the_detector(detector: str, how: str, kept: str | None) -> None:
    told = {"how": how, "detector": kept}
    assert todays_draw({"detector": detector, "rescued": {}}) == told | {"kept_by_minimum": {}}
    former = {"earlybird": "0.1.0", "ticket": {"detector": detector}, "random": {"start": "rewind"}}
    assert todays_summary(former) == former | {"ticket": told}
    assert todays_summary({"ticket": told, "ticket_continued": []}) == {"ticket": told, "ticket_continued": []}
