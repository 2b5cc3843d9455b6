"""All results of a run in one file: dense, ticket, random."""

from __future__ import annotations

from typing import Any

from earlybird import __version__
from earlybird.errors import InputError
from earlybird.recipes.former_names import todays_draw
from earlybird.recipes.metric_names import LOSSES, METRICS, deciding_metric
from earlybird.recipes.run_directory import (
    RESULT,
    RunDirectory,
    notes_in,
    read_json,
    read_numbers,
    read_result,
    write_json,
)
from earlybird.vocabulary import Weights, Which

_NUMBERS = ("examples", "parameters", "flops", "seconds", "steps")
_OPTIONAL = ("cpu_seconds",)
_SECOND = "_continued"


def summarise(files: RunDirectory) -> dict[str, Any]:
    """Collect what the finished stages gave, write `summary.json` and return it.

    `ticket` and `random` are the rewound ones, or the continued ones of a run that only continued; if a run did
    both, the continued ones stand in `ticket_continued` and `random_continued`.

    Raises:
        InputError: no stage has finished yet, or a file is damaged.
    """
    summary: dict[str, Any] = {"earlybird": __version__}
    for name, directory in (("dense", files.dense), ("dense_matched", files.dense_matched)):
        if (directory / RESULT).is_file():
            dense = read_result(directory / RESULT, _NUMBERS, _OPTIONAL)
            summary |= {**_evaluation(dense), name: _trained(dense)}
    all_weights: tuple[Weights, ...] = ("rewind", "continue")
    kinds: tuple[Which, ...] = ("ticket", "random")
    for which in kinds:
        for weights in all_weights:
            result = files.trained(weights, which) / RESULT
            if not result.is_file():
                continue
            trained = read_result(result, _NUMBERS, _OPTIONAL)
            summary |= _evaluation(trained)
            entry = {**_trained(trained), "start": weights}
            if which == "ticket":
                entry |= _draw(files)
            summary[which if which not in summary else which + _SECOND] = entry
    if len(summary) == 1:
        read_json(files.search / RESULT)
    write_json(files.summary, summary)
    return summary


def _evaluation(result: dict[str, Any]) -> dict[str, Any]:
    """What the networks are judged by."""
    return {
        "evaluation_examples": result["examples"],
        "metric": deciding_metric(result),
        "metric_per_example": result.get("metric_per_example", True),
        "notes": notes_in(result),
    }


def _trained(result: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: result[name] for name in (*METRICS, *LOSSES) if name in result},
        "parameters": result["parameters"],
        "flops": result["flops"],
        "train_seconds": result["seconds"],
        **({"train_cpu_seconds": result["cpu_seconds"]} if result.get("cpu_seconds") is not None else {}),
        "train_steps": result["steps"],
        **{name: result[name] for name in ("other_cores", "cores", "evaluations") if name in result},
    }


def _draw(files: RunDirectory) -> dict[str, Any]:
    draw = todays_draw(read_numbers(files.draw, ("step", "fraction")))
    search = read_numbers(files.search / RESULT, ("seconds",), _OPTIONAL)
    steps = search.get("steps")
    if type(steps) is not int or steps < 1:
        raise InputError(f"{files.search / RESULT} is damaged: steps must be a count, got {steps!r}")
    return {
        "draw_step": draw["step"],
        "draw_fraction": draw["fraction"],
        # Of a search that went on to its end, only the steps up to the draw are the ticket's cost.
        **{
            f"search_{name}": search[name] * (draw["step"] + 1) / steps
            for name in ("seconds", *_OPTIONAL)
            if search.get(name) is not None
        },
        **({"search_other_cores": search["other_cores"]} if "other_cores" in search else {}),
        "heads_ratio": draw.get("heads_ratio"),
        "neurons_ratio": draw.get("neurons_ratio"),
        **({"experts_ratio": draw["experts_ratio"]} if "experts_ratio" in draw else {}),
        "detector": draw.get("detector"),
        "how": draw["how"],
    }
