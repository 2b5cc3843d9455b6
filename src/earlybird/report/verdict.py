"""The outcome of a run in one sentence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from earlybird.errors import InputError
from earlybird.recipes.metric_names import deciding_metric, metric_title
from earlybird.recipes.training_seconds import training_seconds
from earlybird.report.amount import percent
from earlybird.report.finite import finite
from earlybird.report.training_flops import training_flops

_NOTEWORTHY_CORES = 0.25
_NOTEWORTHY_DIFFERENCE = 0.05  # of two shares of dense training's seconds
_MOST_EXAMPLES = 1 << 53  # beyond, a float no longer counts them


def verdict(summary: Mapping[str, Any]) -> str:
    """One sentence, in plain text, on what the drawn ticket is worth.

    It compares the ticket with the dense network: first what both took to train, in FLOPs, the search's counted in, and
    last the seconds: those of its own processes on the CPU where they are known. Where the clock says something else,
    that stands beside them, with what else kept the machine busy meanwhile. It says so where a random ticket of the
    same shape does as well: where it is better, or worse by less than two standard errors of the
    difference of two proportions over `evaluation_examples`.

    Args:
        summary: the content of summary.json, of an earlier version by `todays_summary`.

    Raises:
        InputError: an entry lacks a number; the message names it.
    """
    ticket = summary.get("ticket")
    if ticket is None:
        return "Not finished: no ticket has been trained yet."
    start = f"{_drawn(ticket)}: "
    spent = _number(ticket, "ticket", "search_seconds") + _number(ticket, "ticket", "train_seconds")
    metric = deciding_metric(summary)
    value = _number(ticket, "ticket", metric)
    dense = summary.get("dense")
    if dense is None:
        parameters = int(_number(ticket, "ticket", "parameters"))
        sentence = (
            f"{start}{value:.1f}% {metric_title(metric)} with {parameters:,} parameters after {spent:,.0f} seconds of"
            " training (search included), with no dense training to compare it with"
        )
    else:
        sentence = start + ", ".join(
            [
                change(_training_flops(summary), "training FLOPs (search included)"),
                _distance(value, _number(dense, "dense", metric), metric),
                change(_positive(ticket, "ticket", "flops") / _positive(dense, "dense", "flops"), "FLOPs per answer"),
                _seconds(spent, ticket, dense),
            ]
        )
    return sentence + _against_random(summary, metric, value) + "."


def chance_error(value: float, other: float, examples: int) -> float:
    """Standard error of the difference of two proportions, in points; the proportions in percent.

    It is an upper bound for the means of other values in [0, 1] per example, as of SQuAD's F1.
    """
    variance = sum((share / 100) * (1 - share / 100) for share in (value, other)) / examples
    return 100 * math.sqrt(max(0.0, variance))


def as_good_by_chance(value: float, random: float, examples: int | None) -> bool:
    """Whether a random ticket does as well: better, or worse by less than two standard errors."""
    if random >= value:
        return True
    return examples is not None and value - random < 2 * chance_error(value, random, examples)


def evaluation_examples(summary: Mapping[str, Any]) -> int | None:
    """Examples that each result is the mean of; None where the summary does not say, or where it is no mean."""
    if not summary.get("metric_per_example", True):
        return None
    value = summary.get("evaluation_examples")
    return value if type(value) is int and 0 < value < _MOST_EXAMPLES else None


def _drawn(ticket: Mapping[str, Any]) -> str:
    fraction = _number(ticket, "ticket", "draw_fraction")
    if ticket.get("how") == "end":
        return "Never settled, so drawn at the end of the search"
    by_hand = " by hand" if ticket.get("how") == "step" else ""
    return f"Drawn{by_hand} at {percent(fraction)} of the search"


def _training_flops(summary: Mapping[str, Any]) -> float:
    """The ticket's as a share of dense training's."""
    for name, key in itertools.product(("dense", "ticket"), ("flops", "train_steps")):
        _positive(summary[name], name, key)
    _number(summary["ticket"], "ticket", "draw_step")
    spent, dense = training_flops(summary, "ticket"), training_flops(summary, "dense")
    assert spent is not None  # of the numbers above
    assert dense is not None
    return spent / dense


def change(ratio: float, what: str, than: str = "dense") -> str:
    """A ratio of two costs in words."""
    if abs(ratio - 1) < 0.005:
        return f"as many {what} as {than}"
    return f"{percent(abs(1 - ratio))} {'more' if ratio > 1 else 'fewer'} {what}"


def _seconds(spent: float, ticket: Mapping[str, Any], dense: Mapping[str, Any]) -> str:
    """What the trainings took on the CPU, with the clock's word where that is another; by the clock alone otherwise."""
    reference = _number(dense, "dense", "train_seconds")
    clock, others = _time(spent, reference, "training time"), _other_work(ticket, dense)
    own, other = (training_seconds(entry, "cpu_seconds") for entry in (ticket, dense))
    if own is None or other is None or reference <= 0 or other <= 0:
        return clock + (f" ({others})" if others else "")
    said = _time(own, other, "CPU time")
    if abs(own / other - spent / reference) >= _NOTEWORTHY_DIFFERENCE:
        return f"{said} (by the clock {clock}{f': {others}' if others else ''})"
    return said


def _other_work(ticket: Mapping[str, Any], dense: Mapping[str, Any]) -> str:
    """What else the machine did while the seconds were taken, where that is known and worth a word."""
    known = [ticket.get("other_cores"), ticket.get("search_other_cores"), dense.get("other_cores")]
    most = max((number for value in known if (number := finite(value)) is not None), default=0.0)
    cores = finite(ticket.get("cores"))
    if most < _NOTEWORTHY_CORES or cores is None:
        return ""
    return f"other work kept {most:.1f} of {cores:.0f} cores busy on average"


def _distance(ticket: float, dense: float, metric: str) -> str:
    difference = round(ticket - dense, 1)
    if difference == 0:
        return "as accurate as dense" if metric == "accuracy" else f"the same {metric_title(metric)} as dense"
    return f"{abs(difference):.1f} points {'above' if difference > 0 else 'below'} dense"


def _time(spent: float, dense: float, what: str) -> str:
    if dense <= 0:
        return f"{spent:,.0f} seconds of training"
    ratio = spent / dense
    if abs(ratio - 1) < 0.005:
        return f"the same {what}"
    return f"{percent(abs(1 - ratio))} {'more' if ratio > 1 else 'less'} {what}"


def _against_random(summary: Mapping[str, Any], metric: str, value: float) -> str:
    random = summary.get("random")
    if random is None:
        return ""
    other = _number(random, "random", metric)
    examples = evaluation_examples(summary)
    if not as_good_by_chance(value, other, examples):
        return ""
    beyond = examples is not None and other - value >= 2 * chance_error(value, other, examples)
    does = "does better" if other > value and beyond else "does as well"
    chance = ", within chance" if other < value else ""
    return (
        f"; a random ticket of the same shape {does} ({other:.1f} against {value:.1f}{chance}),"
        " so here nothing speaks for the choice of units"
    )


def _number(entry: Any, name: str, key: str) -> float:
    value = entry.get(key) if isinstance(entry, Mapping) else None
    number = finite(value)
    if number is None:
        raise InputError(f"the summary is damaged: {name}.{key} must be a number, got {value!r}")
    return number


def _positive(entry: Any, name: str, key: str) -> float:
    number = _number(entry, name, key)
    if number <= 0:
        raise InputError(f"the summary is damaged: {name}.{key} must be positive, got {number:.0f}")
    return number
