"""Columns of a TSV, CSV or JSON-lines file, one file per split."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from earlybird.errors import InputError
from earlybird.recipes.data.csv_records import csv_records
from earlybird.recipes.data.utf8_lines import lone_surrogate, utf8_lines

ENDINGS = {"tsv": (".tsv",), "csv": (".csv",), "json-lines": (".jsonl", ".json"), "squad": (".json",)}


@dataclass(frozen=True)
class Records:
    """Columns of a text file, and the number of the line that each record begins on; [] for a table without lines."""

    columns: dict[str, list[Any]]
    lines: list[int]


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
    path: Path,
    form: Literal["tsv", "csv"],
    wanted: Sequence[str],
    names: Sequence[str] | None = None,
    hint: str = "; if it has no header, name its columns in data.columns",
) -> Records:
    """Read the wanted columns of a file as strings, fields of any length.

    Blank lines are skipped, and so are records whose fields are all blank, as spreadsheets write them.

    Args:
        path: UTF-8, with or without a byte order mark.
        form: "tsv": separated by tabs, quotes are characters like others; "csv": commas and double quotes.
        wanted: columns to keep.
        names: of all columns if the file has no header.
        hint: what to say where the header lacks a column.

    Raises:
        InputError: it is no such file, a column is missing, a row has another number of fields, or the names are given
            and the file has a header of the same.
    """
    content = utf8_lines(path, form.upper())
    found = csv_records(content) if form == "csv" else _tsv_records(content)
    records = ((number, fields) for number, fields in found if any(map(str.strip, fields)))
    try:
        header = list(names) if names is not None else next(records, (0, []))[1]
        places = {name: _place(header, name, path, hint if names is None else None) for name in wanted}
        columns: dict[str, list[Any]] = {name: [] for name in wanted}
        lines: list[int] = []
        for number, fields in records:
            if len(fields) != len(header):
                raise InputError(
                    f"{path}, line {number}: expected {len(header)} fields ({', '.join(header)}), got {len(fields)}"
                )
            if names is not None and not lines and fields == header:
                raise InputError(
                    f"{path}, line {number}: these are the names that data.columns gives, so the file has a header:"
                    " leave data.columns out"
                )
            lines.append(number)
            for name, place in places.items():
                columns[name].append(fields[place])
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as {form.upper()}: {error}") from error
    return Records(columns, lines)


def read_json_lines(path: Path, wanted: Sequence[str], hint: str = "") -> Records:
    """Read the wanted keys of a file with one JSON object per line. Blank lines are skipped.

    Args:
        path: UTF-8, with or without a byte order mark.
        wanted: keys to keep.
        hint: what to say where a line lacks a key.

    Raises:
        InputError: a line is no JSON object, lacks a key, or holds a text there that cannot be encoded.
    """
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    lines: list[int] = []
    for number, line in utf8_lines(path, "JSON lines"):
        if line.isspace():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            problem = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            raise InputError(f"{path} cannot be read as JSON lines: line {number}: {problem}") from error
        for name in wanted:
            if not isinstance(content, dict) or name not in content:
                held = ", ".join(content) if isinstance(content, dict) else type(content).__name__
                raise InputError(f"{path}, line {number}: there is no key {name!r}, it holds {held}{hint}")
            value = content[name]
            odd = lone_surrogate(value) if isinstance(value, str) else None
            if odd is not None:
                raise InputError(
                    f"{path}, line {number}: {name!r} holds {odd!r}, half of a surrogate pair, which is no character:"
                    " correct the text, or leave the line out"
                )
            columns[name].append(value)
        lines.append(number)
    return Records(columns, lines)


def _tsv_records(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        if "\t" in line or not line.isspace():
            yield number, line.rstrip("\r\n").split("\t")


def _place(header: Sequence[str], name: str, path: Path, hint: str | None) -> int:
    if name not in header:
        held = "data.columns names" if hint is None else "its first line names"
        raise InputError(f"{path} has no column {name!r}: {held} {', '.join(header)[:200] or 'nothing'}{hint or ''}")
    if header.count(name) > 1:
        raise InputError(
            f"{path} has {header.count(name)} columns {name!r}: give each a name of its own, in data.columns where the"
            " file has no header"
        )
    return list(header).index(name)
