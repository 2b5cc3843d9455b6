"""Conversations, prompts with completions or texts, from a hub name, Parquet or JSON lines."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from earlybird.errors import InputError
from earlybird.recipes.data.directory import source_directory
from earlybird.recipes.data.limit import limited
from earlybird.recipes.data.split import row_name
from earlybird.recipes.data.table import Table
from earlybird.recipes.data.text_files import ENDINGS, Records, read_json_lines, split_file
from earlybird.recipes.tasks.causal_lm.settings import LanguageDataSettings

Message = dict[str, str]


@dataclass(frozen=True)
class Example:
    """What is given and what is to be learnt.

    Attributes:
        given: the messages before the answer, or a prompt; None before plain text.
        learnt: the answer, or the text.
        where: what to call it in messages.
    """

    given: list[Message] | str | None
    learnt: str
    where: str


@dataclass(frozen=True)
class LanguageData:
    """Training and evaluation examples under the limits; `found` counts both before any limit."""

    train: list[Example]
    evaluation: list[Example]
    found: tuple[int, int]


def read_examples(settings: LanguageDataSettings) -> LanguageData:
    """Read both splits of a source.

    Raises:
        InputError: data are missing or malformed; the message names the place and what was expected there.
    """
    train, evaluation = (list(_examples(records, where, settings)) for records, where in _read_splits(settings))
    return LanguageData(
        [train[row] for row in limited(len(train), settings.train_limit)],
        [evaluation[row] for row in limited(len(evaluation), settings.eval_limit)],
        (len(train), len(evaluation)),
    )


def _read_splits(settings: LanguageDataSettings) -> list[tuple[Records, str]]:
    if settings.format == "hub":
        from earlybird.recipes.data.hub import read_hub

        return [(_of_table(table, settings), table.where) for table in read_hub(settings)]
    if settings.format == "parquet":
        from earlybird.recipes.data.parquet import read_parquet

        return [(_of_table(table, settings), table.where) for table in read_parquet(settings)]
    splits, endings = (settings.train_split, settings.eval_split), ENDINGS["json-lines"]
    directory = source_directory(settings, " and ".join(f"{split}{endings[0]}" for split in splits))
    paths = [split_file(directory, split, endings) for split in splits]
    return [(read_json_lines(path, settings.columns, _HINT), str(path)) for path in paths]


_HINT = "; data.examples says what a row holds: chat, prompt-completion or text"


def _of_table(table: Table, settings: LanguageDataSettings) -> Records:
    for name in settings.columns:
        if name not in table.rows.features:
            held = ", ".join(table.rows.column_names)
            raise InputError(f"{table.where} has no column {name!r}: it has {held}{_HINT}")
    return Records(table.columns(settings.columns), [])


def _examples(records: Records, where: str, settings: LanguageDataSettings) -> Iterator[Example]:
    columns = [records.columns[name] for name in settings.columns]
    if not columns[0]:
        raise InputError(f"{where} is empty: expected at least one example")
    for row, values in enumerate(zip(*columns, strict=True)):
        place = f"{where}, {row_name(row, records.lines)}"
        if settings.examples == "chat":
            *given, answer = _messages(values[0], settings.messages_column, place)
            yield Example(given, answer["content"], place)
            continue
        for name, text in zip(settings.columns, values, strict=True):
            if not isinstance(text, str):
                raise InputError(f"{place}: {name!r} holds {reprlib.repr(text)}, expected a text")
        yield Example(values[0], values[1], place) if len(values) == 2 else Example(None, values[0], place)


def _messages(value: Any, column: str, place: str) -> list[Message]:
    """The conversation in a cell: two messages at least, the last one the assistant's."""
    wanted = '{"role": ..., "content": ...}'
    if not isinstance(value, list):
        raise InputError(f"{place}: {column!r} holds {reprlib.repr(value)}, expected a list of {wanted}")
    for number, message in enumerate(value):
        for key in ("role", "content"):
            if not isinstance(message, dict) or not isinstance(message.get(key), str):
                held = ", ".join(message) if isinstance(message, dict) else reprlib.repr(message)
                raise InputError(f"{place}: message {number} of {column!r} has no {key!r} with a text, it has {held}")
    if len(value) < 2 or value[-1]["role"] != "assistant":
        roles = ", ".join(message["role"] for message in value) or "nothing"
        raise InputError(
            f"{place}: a conversation ends with the assistant's answer to somebody, got the roles {roles}: leave out"
            " what follows the last answer"
        )
    return [{"role": message["role"], "content": message["content"]} for message in value]
