"""The first sentence of the report, case by case."""

from __future__ import annotations

import math
from typing import Any

import pytest

from earlybird.errors import InputError
from earlybird.report.amount import percent
from earlybird.report.verdict import as_good_by_chance, chance_error, verdict

Summary = dict[str, Any]


def test_a_ticket_worth_having(summary: Summary) -> None:
    summary["dense"]["train_seconds"] = 100.0
    summary["ticket"] |= {"search_seconds": 20.0, "train_seconds": 43.0}

    assert verdict(summary) == (
        "Drawn at 18% of the search: 24% fewer training FLOPs (search included), 0.3 points below dense,"
        " 42% fewer FLOPs per answer, 37% less training time."
    )


def test_what_else_ran_stands_beside_the_seconds(summary: Summary) -> None:
    summary["dense"]["other_cores"] = 1.26
    summary["ticket"] |= {"other_cores": 0.1, "cores": 2, "search_other_cores": 0.0}
    assert (
        verdict(summary).partition(";")[0].endswith("training time (other work kept 1.3 of 2 cores busy on average).")
    )
    summary["dense"]["other_cores"] = 0.2
    assert "other work" not in verdict(summary)


def test_seconds_on_the_cpu_come_before_those_of_a_clock_that_counts_other_programs(summary: Summary) -> None:
    summary["dense"] |= {"train_seconds": 100.0, "train_cpu_seconds": 90.0, "other_cores": 0.0}
    summary["ticket"] |= {"search_seconds": 10.0, "train_seconds": 90.0, "other_cores": 1.0, "cores": 2}
    summary["ticket"] |= {"search_cpu_seconds": 9.0, "train_cpu_seconds": 45.0}
    said = "40% less CPU time (by the clock the same training time: other work kept 1.0 of 2 cores busy on average)."
    assert verdict(summary).partition(" per answer, ")[2] == said
    summary["ticket"]["train_seconds"] = 48.0
    assert verdict(summary).endswith("42% fewer FLOPs per answer, 40% less CPU time.")
    # Of a search that an earlier version ran, they are not known.
    del summary["ticket"]["search_cpu_seconds"]
    assert "42% less training time (other work kept" in verdict(summary)


def test_a_ticket_that_costs_more_than_dense_training(summary: Summary) -> None:
    summary["ticket"]["draw_step"] = 1499
    assert "58% more training FLOPs (search included)" in verdict(summary)
    summary["ticket"] |= {"draw_step": 0, "flops": summary["dense"]["flops"]}
    assert "as many training FLOPs (search included) as dense" in verdict(summary)


def test_a_random_ticket_that_is_better(summary: Summary) -> None:
    summary["random"]["accuracy"] = 97.8
    assert verdict(summary).endswith(
        "; a random ticket of the same shape does as well (97.8 against 97.3),"
        " so here nothing speaks for the choice of units."
    )


def test_a_random_ticket_that_is_better_beyond_chance(summary: Summary) -> None:
    summary["random"]["accuracy"] = 99.9
    assert "a random ticket of the same shape does better (99.9 against 97.3)" in verdict(summary)


def test_a_random_ticket_that_is_worse_within_chance(summary: Summary) -> None:
    summary["random"]["accuracy"] = 97.0
    assert "does as well (97.0 against 97.3, within chance), so here nothing speaks" in verdict(summary)


def test_without_the_number_of_examples_chance_is_not_known(summary: Summary) -> None:
    del summary["evaluation_examples"]
    summary["random"]["accuracy"] = 97.2
    assert "random" not in verdict(summary)
    summary["random"]["accuracy"] = 97.3
    assert "random" in verdict(summary)


def test_no_random_ticket(summary: Summary) -> None:
    del summary["random"]
    assert "random" not in verdict(summary)


def test_more_time_than_dense(summary: Summary) -> None:
    summary["dense"]["train_seconds"] = 100.0
    summary["ticket"] |= {"search_seconds": 70.0, "train_seconds": 42.0}
    assert "12% more training time" in verdict(summary)


def test_the_same_time_and_accuracy(summary: Summary) -> None:
    summary["dense"] |= {"train_seconds": 100.0, "accuracy": 97.32}
    summary["ticket"] |= {"search_seconds": 50.0, "train_seconds": 50.1}
    assert "as accurate as dense, 42% fewer FLOPs per answer, the same training time" in verdict(summary)


def test_above_dense(summary: Summary) -> None:
    summary["dense"]["accuracy"] = 96.0
    assert "1.3 points above dense" in verdict(summary)


def test_no_dense_network(summary: Summary) -> None:
    del summary["dense"]
    assert verdict(summary) == (
        "Drawn at 18% of the search: 97.3% accuracy with 177,600 parameters after 71 seconds of training"
        " (search included), with no dense training to compare it with."
    )


@pytest.mark.parametrize(
    ("how", "fraction", "start"),
    [
        ("step", 1.0, "Drawn by hand at 100% of the search: "),
        ("end", 1.0, "Never settled, so drawn at the end of the search: "),
        ("step", 0.2, "Drawn by hand at 20% of the search: "),
        ("detector", 1.0, "Drawn at 100% of the search: "),
        ("detector", 0.004, "Drawn at 0.4% of the search: "),
    ],
)
def test_how_it_was_drawn(summary: Summary, how: str, fraction: float, start: str) -> None:
    summary["ticket"] |= {"how": how, "draw_fraction": fraction}
    assert verdict(summary).startswith(start)


def _judged_by(summary: Summary, metric: str, per_example: bool) -> Summary:
    for network in ("dense", "ticket", "random"):
        summary[network][metric] = summary[network].pop("accuracy")
    return summary | {"metric": metric, "metric_per_example": per_example}


def test_another_metric_is_called_by_its_name(summary: Summary) -> None:
    judged = _judged_by(summary, "f1", per_example=True)
    judged["random"]["f1"] = 97.0
    assert "0.3 points below dense" in verdict(judged)
    assert "does as well (97.0 against 97.3, within chance)" in verdict(judged)
    judged["dense"]["f1"] = 97.3
    assert "the same F1 as dense" in verdict(judged)
    del judged["dense"]
    assert "97.3% F1 with" in verdict(judged)


def test_chance_is_not_known_for_a_metric_that_is_no_mean(summary: Summary) -> None:
    judged = _judged_by(summary, "matthews_correlation", per_example=False)
    judged["random"]["matthews_correlation"] = 97.2
    assert "random" not in verdict(judged)
    judged["random"]["matthews_correlation"] = 97.3
    assert "random" in verdict(judged)


def test_an_unfinished_run() -> None:
    assert verdict({"earlybird": "0.1.0"}).startswith("Not finished")


@pytest.mark.parametrize("value", [None, "97", True, math.nan])
def test_a_damaged_summary_is_named(summary: Summary, value: object) -> None:
    summary["ticket"]["accuracy"] = value
    with pytest.raises(InputError, match=r"ticket\.accuracy"):
        verdict(summary)


@pytest.mark.parametrize("name", ["dense", "ticket"])
@pytest.mark.parametrize("key", ["flops", "train_steps"])
@pytest.mark.parametrize("value", [None, 0, math.inf])
def test_a_cost_that_is_no_number_is_named(summary: Summary, name: str, key: str, value: object) -> None:
    summary[name][key] = value
    with pytest.raises(InputError, match=rf"{name}\.{key}"):
        verdict(summary)


def test_chance_is_two_standard_errors_of_two_proportions() -> None:
    error = chance_error(50.0, 50.0, 200)
    assert error == pytest.approx(100 * math.sqrt(2 * 0.25 / 200))
    assert as_good_by_chance(50.0, 50.0 - 1.9 * error, 200)
    assert not as_good_by_chance(50.0, 50.0 - 2.1 * error, 200)
    assert as_good_by_chance(100.0, 100.0, 200)


def test_a_percentage_is_never_rounded_to_a_whole_it_is_not() -> None:
    assert [percent(share) for share in (0.0, 0.0001, 0.005, 0.18, 0.9999, 1.0)] == [
        "0%",
        "0.1%",
        "0.5%",
        "18%",
        "99.9%",
        "100%",
    ]
