"""Two runs of one task side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from earlybird.cli.commands import app
from earlybird.errors import InputError
from earlybird.report.comparison import compare_runs
from earlybird.ticket import Ticket


@pytest.fixture
def pair(
    tmp_path: Path, write_recipe: Callable[..., None], write_json: Callable[..., None], summary: dict[str, Any]
) -> tuple[Path, Path]:
    """Two runs; B trains in batches twice as large, is 1.0 points better, and half as many units of it are A's."""
    first, second = tmp_path / "one", tmp_path / "two"
    masks = [[True, True, False, False]], [[True, False, True, False]]
    for root, batch, row in zip((first, second), (32, 64), masks, strict=True):
        write_recipe(root, training={"batch_size": batch})
        ticket = Ticket(
            masks={"heads": np.array(row)},
            units={"heads": (4,)},
            blocks={"heads": ("layer.0",)},
            provenance={"how": "drawn"},
        )
        ticket.save(root / "ticket.json")
    write_json(first / "summary.json", summary)
    summary["ticket"] |= {"accuracy": 98.3, "flops": 3_025_000}
    write_json(second / "summary.json", summary)
    return first, second


def test_the_headline_compares_the_tickets(pair: tuple[Path, Path]) -> None:
    # A: 1,500 steps of 6.05 M and 271 of 10.4 M, by 32; B: 1,500 of 3.025 M and 271 of 10.4 M, by 64.
    more = 100 * (2 * (1500 * 3.025 + 271 * 10.4) / (1500 * 6.05 + 271 * 10.4) - 1)
    assert compare_runs(*pair).headline == (
        "The ticket of B is 1.0 points of accuracy above that of A (within two standard errors), "
        f"{more:.0f}% more training FLOPs (search included), 50% fewer FLOPs per answer."
    )


def test_it_says_what_differs_and_what_both_keep(pair: tuple[Path, Path]) -> None:
    comparison = compare_runs(*pair)
    assert comparison.differences == {"training.batch_size": (32, 64)}
    shared = comparison.shared["heads"]
    assert (shared.kept, shared.both, shared.by_chance) == ((2, 2), 1, 1.0)


def test_the_page_shows_every_network_of_both(pair: tuple[Path, Path]) -> None:
    done = CliRunner().invoke(app, ["report", *map(str, pair)])
    assert done.exit_code == 0, done.output
    page = (pair[0] / "compared-with-two.html").read_text(encoding="utf-8")
    assert "<script" not in page
    chart = re.search(r'<svg [^>]*aria-label="([^"]*)"', page)
    assert chart is not None
    for name in ("A Dense: 97.6%", "A Ticket: 97.3%", "B Ticket: 98.3%", "B Random ticket: 93.1%"):
        assert name in chart[1]
    assert page.count('class="disc"') == page.count('class="ring"') == 3
    assert "training.batch_size" in page


def test_the_same_as_json_where_it_was_asked_for(pair: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["report", *map(str, pair), "--json", "--output", str(target)])
    content = json.loads(done.output)
    assert content["B"]["ticket"]["accuracy"] == 98.3
    assert content["differences"] == {"training.batch_size": [32, 64]}
    assert target.is_file()
    assert not list(pair[0].glob("*.html"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "text-classification"}, r"different tasks \(task: 'image-classification' and 'text-classification'"),
        ({"data": {"format": "idx", "source": "/data/fashion"}}, r"different tasks \(data.source: '' and 'fashion'\)"),
        ({"data": {"format": "digits", "eval_limit": 9}}, r"different tasks \(data.eval_limit: None and 9\)"),
    ],
)
def test_runs_of_different_tasks_are_refused(
    pair: tuple[Path, Path], write_recipe: Callable[..., None], changes: dict[str, Any], said: str
) -> None:
    write_recipe(pair[1], **changes)
    with pytest.raises(InputError, match=said):
        compare_runs(*pair)


def test_other_metrics_and_other_examples_are_different_tasks(
    pair: tuple[Path, Path], write_json: Callable[..., None], summary: dict[str, Any]
) -> None:
    write_json(pair[1] / "summary.json", summary | {"evaluation_examples": 9})
    with pytest.raises(InputError, match="evaluation examples: 540 and 9"):
        compare_runs(*pair)
    write_json(pair[1] / "summary.json", summary | {"metric": "f1"})
    with pytest.raises(InputError, match="metric: 'accuracy' and 'f1'"):
        compare_runs(*pair)


def test_one_run_cannot_be_compared(pair: tuple[Path, Path], write_json: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="are the same run"):
        compare_runs(pair[0], pair[0])
    with pytest.raises(InputError, match="there is no directory"):
        compare_runs(pair[0], tmp_path / "nowhere")
    (pair[1] / "summary.json").unlink()
    with pytest.raises(InputError, match=r"two has no results to compare \(There is no summary.json"):
        compare_runs(*pair)
    write_json(pair[1] / "summary.json", {"earlybird": "0.1.0"})
    with pytest.raises(InputError, match=r"No network of it has been trained"):
        compare_runs(*pair)
    alone = CliRunner().invoke(app, ["report", str(pair[0]), "--output", "page.html"])
    assert isinstance(alone.exception, InputError)
    (pair[1] / "sweep.json").write_text("{}", encoding="utf-8")
    sweep = CliRunner().invoke(app, ["report", *map(str, pair)])
    assert isinstance(sweep.exception, InputError)


def test_a_missing_number_costs_its_part_only(
    pair: tuple[Path, Path], write_json: Callable[..., None], summary: dict[str, Any]
) -> None:
    del summary["ticket"]
    summary["dense"]["flops"] = "many"
    write_json(pair[1] / "summary.json", summary)
    assert compare_runs(*pair).headline == "No comparison of tickets: B has trained none."
    assert CliRunner().invoke(app, ["report", *map(str, pair), "--json"]).exit_code == 0
