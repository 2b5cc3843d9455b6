"""The model card of a pruned model: what was pruned, how it was drawn, accuracy if known, how to load it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from transformers import PreTrainedModel

from earlybird.anatomy import Anatomy
from earlybird.anatomy.config_fields import CannotSayError
from earlybird.anatomy.flops import parameter_count
from earlybird.errors import InputError
from earlybird.hub import why_no_name
from earlybird.surgery.plain_config import built, dense_config
from earlybird.surgery.pruned_shape import PrunedShape
from earlybird.ticket import Ticket
from earlybird.vocabulary import Kind

TAGS = ("pruned", "earlybird")
# What a ticket's provenance says of its draw, in the order of the card.
_ORIGIN = (
    *("how", "draw_step", "draw_fraction", "detector", "score", "statistic", "threshold"),
    *("heads_ratio", "neurons_ratio", "experts_ratio", "heads_scope", "neurons_scope", "seed", "total_steps"),
)


def write_card(
    model: PreTrainedModel,
    directory: Path,
    *,
    reason: str = "",
    ticket: Ticket | None = None,
    accuracy: float | None = None,
) -> None:
    """Write README.md beside a saved model.

    Args:
        model: that was saved.
        directory: where.
        reason: why only a process that has imported earlybird loads it, or "" where any does.
        ticket: by which it was pruned.
        accuracy: in percent.
    """
    base = str(model.config.name_or_path or "")
    shape, before = PrunedShape.of(Anatomy.of(model)), _before(model)
    data = ModelCardData(
        library_name="transformers",
        tags=[tag for tag in TAGS if tag != "pruned" or _is_pruned(shape, before)],
        base_model=base if base and not why_no_name(base) and not Path(base).exists() else None,
    )
    sections = [
        f"# {_plain(type(model).__name__)}",
        f"{parameter_count(model):,} parameters. Written by earlybird, which removes attention heads, MLP neurons and"
        " experts of mixtures.",
        _pruned(shape, before),
        *([] if ticket is None else [_origin(ticket)]),
        *([] if accuracy is None else [f"## Accuracy\n\n{accuracy:.2f}%"]),
        _loading(type(model).__name__, reason),
    ]
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n").save(directory / "README.md")


def _is_pruned(shape: PrunedShape, before: Mapping[Kind, Mapping[str, int]]) -> bool:
    """Whether units are gone; True where it is not known how many there were."""
    return any(
        before.get(kind) != dict(zip(shape.blocks[kind], counts, strict=True)) for kind, counts in shape.kept.items()
    )


def _pruned(shape: PrunedShape, before: Mapping[Kind, Mapping[str, int]]) -> str:
    rows = ["## What was pruned", "", "| block | kind | kept | of |", "| --- | --- | --- | --- |"]
    totals = []
    for kind, counts in shape.kept.items():
        kept = dict(zip(shape.blocks[kind], counts, strict=True))
        full = before.get(kind, {})
        for name in full or kept:
            rows.append(f"| {_plain(name)} | {kind} | {kept[name]} | {full.get(name, '')} |")
        if full:
            of = sum(full.values())
            totals.append(f"{sum(counts)} of {of} {kind} kept ({1 - sum(counts) / of:.0%} pruned)")
    return "\n".join([*rows, *(["", ", ".join(totals) + "."] if totals else [])])


def _before(model: PreTrainedModel) -> Mapping[Kind, Mapping[str, int]]:
    """Units of each block before pruning, by name; nothing where the config does not tell them any more."""
    try:
        dense = Anatomy.of(built(model, dense_config(model.config)))
    except (CannotSayError, InputError):
        return {}
    return {kind: dict(zip(dense.names[kind], units, strict=True)) for kind, units in dense.units.items()}


def _origin(ticket: Ticket) -> str:
    rows = [f"- {key}: {_plain(ticket.provenance[key])}" for key in _ORIGIN if ticket.provenance.get(key) is not None]
    versions = ticket.provenance.get("versions")
    if isinstance(versions, Mapping):
        rows.append(f"- versions: {_plain(', '.join(f'{name} {number}' for name, number in dict(versions).items()))}")
    return "\n".join(["## How the ticket was drawn", "", *rows])


def _loading(name: str, reason: str) -> str:
    if not reason:
        words = "The config says the shape, so any process loads it:"
        code = ["from transformers import AutoModel", "", 'model = AutoModel.from_pretrained("DIRECTORY")']
    else:
        words = (
            f"The config's own fields cannot say the shape: {_plain(reason)}. `import earlybird` teaches transformers"
            " to read it; without it loading ends in an error. For tools without earlybird see `earlybird.export`."
        )
        code = [
            "import earlybird",
            "from transformers import AutoModel",
            "",
            'model = AutoModel.from_pretrained("DIRECTORY")  # or pipeline(...), or earlybird.load("DIRECTORY")',
        ]
    code = [line.replace("AutoModel", _plain(name)) for line in code]
    return "\n".join(["## How to load it", "", words, "", "```python", *code, "```"])


def _plain(value: Any) -> str:
    """Text from a file as one line that Markdown and YAML take for text."""
    line = " ".join(str(value).split())[:200]
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", line) if not re.fullmatch(r"[\w.\-]+", line) else line
