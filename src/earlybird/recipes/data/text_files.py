"""Columns of a TSV, CSV or JSON-lines file, one file per split."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from earlybird.errors import InputError

Columns = dict[str, list[Any]]
ENDINGS = {"tsv": (".tsv",), "csv": (".csv",), "json-lines": (".jsonl", ".json"), "squad": (".json",)}


def split_file(directory: Path, split: str, endings: Sequence[str]) -> Path:
    """The file of a split: `{split}{ending}`, or the one that is called as the split is.

    Raises:
        InputError: there is none; the message lists what is there.
    """
    candidates = [*(directory / f"{split}{ending}" for ending in endings), directory / split]
    for path in candidates:
        if path.is_file():
            return path
    present = ", ".join(sorted(path.name for path in directory.iterdir() if path.suffix in endings)[:20])
    expected = " or ".join(path.name for path in candidates[:-1])
    raise InputError(f"{directory} has no file for split {split!r}: expected {expected}, found {present or 'none'}")


def read_delimited(
    path: Path, form: Literal["tsv", "csv"], wanted: Sequence[str], names: Sequence[str] | None
) -> Columns:
    """Read the wanted columns of a file as strings.

    Args:
        path: UTF-8, with or without a byte order mark.
        form: "tsv": separated by tabs, quotes are characters like others; "csv": commas and double quotes.
        wanted: columns to keep.
        names: of all columns if the file has no header.

    Raises:
        InputError: it is no such file, a column is missing, or a row has another number of fields.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if form == "tsv":
                reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            else:
                reader = csv.reader(file, strict=True)
            header = list(names) if names is not None else next(reader, [])
            places = {name: _place(header, name, path, given=names is not None) for name in wanted}
            columns: Columns = {name: [] for name in wanted}
            for row in reader:
                if len(row) != len(header):
                    raise InputError(
                        f"{path}, line {reader.line_num}: {len(row)} fields, expected {len(header)}"
                        f" ({', '.join(header)})"
                    )
                for name, place in places.items():
                    columns[name].append(row[place])
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as {form.upper()}: {error}") from error
    return columns


def read_json_lines(path: Path, wanted: Sequence[str]) -> Columns:
    """Read the wanted keys of a file with one JSON object per line.

    Raises:
        InputError: a line is no JSON object or lacks a key.
    """
    columns: Columns = {name: [] for name in wanted}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                content = json.loads(line)
                for name in wanted:
                    if not isinstance(content, dict) or name not in content:
                        held = ", ".join(content) if isinstance(content, dict) else type(content).__name__
                        raise InputError(f"{path}, line {number}: there is no key {name!r}, it holds {held}")
                    columns[name].append(content[name])
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as JSON lines: {error}") from error
    return columns


def _place(header: Sequence[str], name: str, path: Path, *, given: bool) -> int:
    if name not in header:
        held = "data.columns names" if given else "its first line names"
        hint = "" if given else "; if it has no header, name its columns in data.columns"
        raise InputError(f"{path} has no column {name!r}: {held} {', '.join(header)[:200] or 'nothing'}{hint}")
    return list(header).index(name)
