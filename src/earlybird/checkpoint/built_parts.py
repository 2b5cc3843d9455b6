"""Building a model without memory, up to a number of parts: whatever a config calls its layers, they are counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from earlybird.errors import InputError


@contextmanager
def on_meta_up_to(most: int, source: str) -> Iterator[None]:
    """Builds models on the meta device, and refuses in the middle of one that has too many parts.

    Args:
        most: modules and parameters, together, of all models that are built within.
        source: of the config, for the error.

    Raises:
        InputError: there are more.
    """
    parts = 0

    def count(*_: Any) -> None:
        nonlocal parts
        parts += 1
        if parts > most:
            raise InputError(f"{source} claims a model of more than {most} modules and parameters: it is not built")

    hooks = register_module_module_registration_hook(count), register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            yield
    finally:
        for hook in hooks:
            hook.remove()
