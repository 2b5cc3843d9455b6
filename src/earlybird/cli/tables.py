"""What the commands print: tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from earlybird.detectors.comparison import Verdict
from earlybird.recipes.metric_names import deciding_metric, metric_title
from earlybird.recipes.training_seconds import NAMES, common_unit, training_seconds
from earlybird.report.amount import amount, percent
from earlybird.report.networks import network_name, trained_networks
from earlybird.report.training_flops import training_flops
from earlybird.vocabulary import KINDS, WEIGHED_KINDS


def results_table(summary: Mapping[str, Any]) -> Table:
    """Dense, ticket and random side by side, from the content of summary.json; a training's costs count its search."""
    metric = deciding_metric(summary)
    networks = trained_networks(summary)
    unit = common_unit(networks.values())
    dense = training_flops(summary, "dense")
    # Without lines down the columns it fits into 60 characters.
    table = Table(title="Results", title_style="bold", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("network", no_wrap=True)
    for heading in (metric_title(metric), "training FLOPs", NAMES[unit], "FLOPs per answer"):
        table.add_column(heading, justify="right")
    for key, entry in networks.items():
        cost, seconds = training_flops(summary, key), training_seconds(entry, unit)
        table.add_row(
            network_name(key, entry),
            f"{entry[metric]:.1f}%",
            percent(cost / dense) if cost is not None and dense else "",
            "" if seconds is None else f"{seconds:,.0f}",
            amount(entry["flops"]),
        )
    return table


def detectors_table(rows: Sequence[Mapping[str, str]]) -> Table:
    """The detectors' names, what they do, their null hypotheses and settings."""
    table = Table(
        show_lines=True,
        caption="Costs count operations, n values in a window and u units, beside the mask and criterion of each step.",
        caption_justify="left",
    )
    table.add_column("detector", no_wrap=True)  # a name that can be copied
    table.add_column("draws when, null hypothesis, settings, cost of a check")
    for row in rows:
        lines = (row["draws_when"], f"Null: {row['null_hypothesis']}", row["settings"], row["cost"])
        table.add_row(row["detector"], Text("\n".join(lines)))
    return table


def verdicts_table(verdicts: Mapping[str, Verdict], steps: int, total_steps: int) -> Table:
    """What each detector says of a trajectory: when each kind settles, when it draws, or why it does not."""

    def when(step: int) -> str:
        return f"step {step:,}, {100 * (step + 1) / total_steps:.1f}%"

    table = Table(caption=f"{steps:,} recorded steps of {total_steps:,}", caption_justify="left")
    table.add_column("detector", no_wrap=True)
    kinds = [kind for kind in KINDS if kind in WEIGHED_KINDS or any(kind in each.settled for each in verdicts.values())]
    for heading in (*kinds, "draw", "statistic", "threshold", ""):
        table.add_column(heading, overflow="fold")
    for name, verdict in verdicts.items():
        settled = [when(verdict.settled[kind].step) if kind in verdict.settled else "" for kind in kinds]
        last = max(verdict.settled.values(), key=lambda kind: kind.step, default=None)
        table.add_row(
            name,
            *settled,
            "" if verdict.draw is None else when(verdict.draw.step),
            "" if last is None else "constant" if last.statistic is None else f"{last.statistic:.3g}",
            "" if last is None or last.threshold is None else f"{last.threshold:.3g}",
            verdict.reason,
        )
    return table


def grid_table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    """Plain text in rows and columns."""
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for line in lines:
        table.add_row(*(Text(field) for field in line))
    return table
