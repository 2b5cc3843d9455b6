"""Records of comma-separated values.

Python's `csv` module refuses fields above a length that is one setting for the whole process.
"""

from __future__ import annotations

from collections.abc import Iterator


def csv_records(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    r"""Yield the fields of each record with the number of its first line, by RFC 4180.

    A quoted field may hold commas, line ends and doubled quotes. A quote within a field that does not begin with
    one is a character like others. A line of white space alone, outside quotes, is no record. So in a file of one
    column an empty text is written as `""`.

    Args:
        lines: with their endings (\n, \r\n or \r) and numbers.

    Raises:
        ValueError: a quoted field does not end, or goes on behind its closing quote; the message names the line.
    """
    for number, line in lines:
        if '"' in line:
            yield number, _quoted_record(number, line, lines)
        elif "," in line or not line.isspace():
            yield number, line.rstrip("\r\n").split(",")


def _quoted_record(number: int, line: str, lines: Iterator[tuple[int, str]]) -> list[str]:
    fields = []
    at = 0
    while True:
        if line.startswith('"', at):
            began, parts, at = number, [], at + 1
            while (end := line.find('"', at)) < 0 or line.startswith('"', end + 1):
                if end >= 0:
                    parts.append(line[at : end + 1])
                    at = end + 2
                    continue
                parts.append(line[at:])
                number, line = next(lines, (0, ""))
                if not number:
                    raise ValueError(f"line {began}: the quote that begins a field there does not end")
                at = 0
            fields.append("".join([*parts, line[at:end]]))
            at = end + 1
            if not line.startswith((",", "\r", "\n"), at) and at < len(line):
                raise ValueError(f"line {number}: {line[at : at + 20]!r} stands behind a closing quote")
        else:
            end = line.find(",", at)
            end = len(line.rstrip("\r\n")) if end < 0 else end
            fields.append(line[at:end])
            at = end
        if not line.startswith(",", at):
            return fields
        at += 1
