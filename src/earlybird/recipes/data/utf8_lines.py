"""Lines of a text file, and which of them cannot be encoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from earlybird.errors import InputError

_UTF16_MARKS = ("\udcff\udcfe", "\udcfe\udcff")  # Of both byte orders; the first begins UTF-32, too.


def utf8_lines(path: Path, form: str) -> Iterator[tuple[int, str]]:
    r"""Yield the lines of a UTF-8 file with their endings (\n, \r\n or \r) and their numbers, from 1.

    Args:
        path: the file, with or without a byte order mark.
        form: what the file should be, for the message.

    Raises:
        InputError: a line holds bytes that are not UTF-8; the message names file and line.
    """
    # An undecodable byte becomes half of a surrogate pair, so that it is found in its line.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and ("\0" in line[:2] or line.startswith(_UTF16_MARKS)):
                raise InputError(
                    f"{path} cannot be read as {form}: it is in UTF-16 or UTF-32, or no text: save the file as UTF-8"
                )
            odd = lone_surrogate(line)
            if odd is not None:
                raise InputError(
                    f"{path} cannot be read as {form}: line {number}: the byte 0x{ord(odd) - 0xDC00:02x} is not UTF-8:"
                    " save the file as UTF-8"
                )
            yield number, line


def lone_surrogate(text: str) -> str | None:
    r"""Return the first character that is half of a surrogate pair, which no encoding has and no tokenizer takes.

    In JSON "\ud83d" alone writes one, as where a text was cut within an emoji.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return text[error.start]
    return None
