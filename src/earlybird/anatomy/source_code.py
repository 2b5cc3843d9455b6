"""What a module's own code reads: the names of attributes and arguments its forward pass depends on."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

from torch import nn


def names_read(module: nn.Module) -> frozenset[str]:
    """Attributes that a module's methods read, its constructor aside; those of its config as `config.NAME`."""
    module_class: Any = type(module)
    return _names_read(module_class)


def argument_names(module: nn.Module) -> tuple[str, ...]:
    """Names of the arguments of a module's forward pass, without self."""
    return tuple(inspect.signature(type(module).forward).parameters)[1:]


@lru_cache(maxsize=1024)
def _names_read(module_class: type[nn.Module]) -> frozenset[str]:
    found: set[str] = set()
    for ancestor in module_class.__mro__:
        if ancestor in (nn.Module, object):
            continue
        for name, member in vars(ancestor).items():
            function = inspect.unwrap(member) if callable(member) else None
            code = getattr(function, "__code__", None)
            if name == "__init__" or code is None:
                continue
            for part in _nested(code):
                found.update(part.co_names)
                found.update(_config_names(part))
    return frozenset(found)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _config_names(code: CodeType) -> Iterator[str]:
    previous: object = None
    for instruction in dis.get_instructions(code):
        if previous == "config" and instruction.opname == "LOAD_ATTR":
            yield f"config.{instruction.argval}"
        previous = instruction.argval if instruction.opname == "LOAD_ATTR" else None
