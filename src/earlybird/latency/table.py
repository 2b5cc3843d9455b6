"""A table of milliseconds as a file: in the user's cache directory, by a name that no other machine or model has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from earlybird.atomic_write import write_whole
from earlybird.errors import InputError
from earlybird.masks import UnitCosts, WidthCurve
from earlybird.vocabulary import KINDS, Kind

_VERSION = 1
_LARGEST_FILE = 16 << 20

Description = Mapping[str, Any]


def table_path(machine: Description, what: Description) -> Path:
    """Where the table of a model's shape on a machine is kept."""
    name = hashlib.sha256(json.dumps([_VERSION, machine, what], sort_keys=True).encode()).hexdigest()[:16]
    return user_cache_path("earlybird") / "milliseconds" / f"{name}.json"


def write_table(path: Path, machine: Description, what: Description, costs: UnitCosts) -> None:
    """Write a table, in one move."""
    body = {"machine": dict(machine), "model": dict(what), "costs": asdict(costs)}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": "earlybird-milliseconds", "version": _VERSION, "sha256": _digest(body), **body}
    write_whole(path, json.dumps(content, indent=1) + "\n")


def read_table(path: Path, machine: Description, what: Description) -> UnitCosts:
    """Read a table.

    Raises:
        InputError: it is damaged, or that of another machine or model.
    """
    again = f"delete {path}, and it is measured again"
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError("too large")
        data = json.loads(path.read_text(encoding="utf-8"))
        body = {key: data[key] for key in ("machine", "model", "costs")}
        if data["sha256"] != _digest(body):
            raise ValueError("its checksum does not fit its content")
        told = body["costs"]
        kinds: list[Kind] = [kind for kind in KINDS if kind in told["units"]]
        costs = UnitCosts(
            "milliseconds",
            told["tokens"],
            {kind: tuple(told["units"][kind]) for kind in kinds},
            tuple(told["groups"]),
            told["fixed"],
            told["whole"],
            {
                kind: tuple(WidthCurve(tuple(curve["counts"]), tuple(curve["costs"])) for curve in told["curves"][kind])
                for kind in kinds
            },
            told["examples"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"the table of milliseconds is damaged ({error}): {again}") from error
    if (body["machine"], body["model"]) != (dict(machine), dict(what)):
        raise InputError(f"the table of milliseconds is that of another machine or model: {again}")
    return costs


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
