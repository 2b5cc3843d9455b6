"""Reading and changing the fields of a Hugging Face config, those of its parts too ("text_config.ffn_dim")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from earlybird.errors import first_line

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class CannotSayError(Exception):
    """The fields of a config cannot say a model's shape; the message tells why."""


def changed(config: PreTrainedConfig, changes: Mapping[str, Any]) -> PreTrainedConfig:
    """A copy with other values, validated as if it had been read from a file.

    Raises:
        CannotSayError: the family refuses them.
    """
    values = config.to_dict()
    values.pop("quantization_config", None)
    for path, value in changes.items():
        *above, field = path.split(".")
        target = values
        for name in above:
            target = target[name]
        # A field that the family calls by another name is written under that one; one that was not set is left out.
        field = _part(config, above).attribute_map.get(field, field)
        target[field] = value
        if value is None:
            del target[field]
    try:
        return type(config).from_dict(values)
    except Exception as error:  # each family validates in its own way
        raise CannotSayError(f"{type(config).__name__} refuses {dict(changes)}: {first_line(error)}") from error


def parts_of(config: PreTrainedConfig, prefix: str) -> Iterator[tuple[str, PreTrainedConfig]]:
    """A config and those below it, each with the path to its fields."""
    yield prefix, config
    for name in config.sub_configs:
        below = getattr(config, name, None)
        if below is not None:
            yield from parts_of(below, f"{prefix}{name}.")


def _part(config: PreTrainedConfig, path: Sequence[str]) -> Any:
    part: Any = config
    for name in path:
        part = getattr(part, name)
    return part


def has_field(config: PreTrainedConfig, name: str) -> bool:
    """Whether a config has a field that can be set; one that only follows from others is none.

    Nor is one that the layers say each for itself (transformers' `per_layer_config`).
    """
    own = getattr(type(config), name, None)
    try:
        there = hasattr(config, name)
    except RuntimeError:  # an AmbiguousGlobalPerLayerAttributeError
        return False
    return there and not (isinstance(own, property) and own.fset is None)


def get_field(config: PreTrainedConfig, path: str) -> Any:
    """What a field says, or None."""
    *above, field = path.split(".")
    return getattr(_part(config, above), field, None)


def set_field(config: PreTrainedConfig, path: str, value: Any) -> None:
    """Change a field in place."""
    *above, field = path.split(".")
    setattr(_part(config, above), field, value)
