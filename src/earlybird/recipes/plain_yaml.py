"""YAML from anybody: plain values, in a file that a person may have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from earlybird.errors import InputError

_LARGEST_FILE = 1 << 20  # bytes
_LONGEST_NUMBER = 100  # characters; Python reads longer ones in quadratic time, and cannot print those of 4,300 digits
# What PyYAML lets through of dates that there are not, and of values that do not fit their tag.
_OF_VALUES = (ValueError, TypeError, LookupError, AttributeError, OverflowError)


class _PlainLoader(yaml.SafeLoader):
    """Safe, and without aliases, by which a few lines can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "an alias (*name) is not taken, write the value out", mark)
        return super().compose_node(parent, index)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if node.tag.endswith((":int", ":float")) and len(value) > _LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number has more than {_LONGEST_NUMBER} characters", node.start_mark
            )
        return value


def parse_yaml(text: str) -> Any:
    """The value that a text of YAML says.

    Raises:
        InputError: it is no YAML, has aliases, is nested too deeply, or holds a number or date that cannot be.
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)  # it is a SafeLoader
    except (yaml.YAMLError, RecursionError, *_OF_VALUES) as error:
        raise InputError(f"not valid YAML: {' '.join(str(error).split())}") from error


def read_yaml(path: Path) -> Any:
    """The value that a file of YAML says.

    Raises:
        InputError: as of `parse_yaml` and `read_text`.
    """
    text = read_text(path)
    try:
        return parse_yaml(text)
    except InputError as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def read_text(path: Path) -> str:
    """The text of a file of YAML, whether it is any or not.

    Raises:
        InputError: the file is larger than 1 MiB or not UTF-8.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError("it is larger than 1 MiB")
        return path.read_text(encoding="utf-8")
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
