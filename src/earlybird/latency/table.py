"""A table of milliseconds as a file: in the user's cache directory, by a name that no other machine or model has."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from earlybird.atomic_write import write_whole
from earlybird.errors import InputError
from earlybird.masks import UnitCosts

_VERSION = 1
_LARGEST_FILE = 16 << 20

Description = Mapping[str, Any]


def table_path(machine: Description, what: Description) -> Path:
    """Where the table of a model's shape on a machine is kept."""
    name = hashlib.sha256(json.dumps([_VERSION, machine, what], sort_keys=True).encode()).hexdigest()[:16]
    return user_cache_path("earlybird") / "milliseconds" / f"{name}.json"


def prepare_directory(path: Path) -> None:
    """Make the directory of a table, before it is measured.

    Raises:
        InputError: that is not possible.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the table of milliseconds cannot be kept in {path.parent} ({error.strerror}): set XDG_CACHE_HOME to a"
            " directory that can be written to"
        ) from error
    if not os.access(path.parent, os.W_OK):
        raise InputError(
            f"the table of milliseconds cannot be kept in {path.parent}, which cannot be written to: set XDG_CACHE_HOME"
            " to a directory that can"
        )


def write_table(path: Path, machine: Description, what: Description, costs: UnitCosts) -> None:
    """Write a table, in one move."""
    body = {"machine": dict(machine), "model": dict(what), "costs": asdict(costs)}
    content = {"format": "earlybird-milliseconds", "version": _VERSION, "sha256": _digest(body), **body}
    write_whole(path, json.dumps(content, indent=1) + "\n")


def read_table(path: Path, machine: Description, what: Description) -> UnitCosts:
    """Read a table.

    Raises:
        InputError: it is damaged, or that of another machine or model.
    """
    again = f"delete {path}, and it is measured again"
    if not path.is_file():
        raise InputError(
            f"there is no table of milliseconds at {path}: the first of several processes has measured on a machine or"
            " for a cache directory that is not that of this one"
        )
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError("too large")
        data = json.loads(path.read_text(encoding="utf-8"))
        body = {key: data[key] for key in ("machine", "model", "costs")}
        if data["sha256"] != _digest(body):
            raise ValueError("its checksum does not fit its content")
        costs = UnitCosts.from_plain(body["costs"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"the table of milliseconds is damaged ({error}): {again}") from error
    if (body["machine"], body["model"]) != (dict(machine), dict(what)):
        raise InputError(f"the table of milliseconds is that of another machine or model: {again}")
    return costs


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
