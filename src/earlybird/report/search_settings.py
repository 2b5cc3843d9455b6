"""The settings of a run's search, as its draw tells them, or its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from earlybird.config import SearchConfig
from earlybird.errors import InputError
from earlybird.recipes.settings import SearchSettings, SlimmingSettings, search_config
from earlybird.vocabulary import KINDS

_SECTIONS: dict[str, TypeAdapter[Any]] = {
    "search": TypeAdapter(SearchSettings),
    "slimming": TypeAdapter(SlimmingSettings),
}


def config_of_recipe(recipe: Mapping[str, Any]) -> SearchConfig:
    """What a recipe says of the search; the rest of it is for other readers.

    Raises:
        InputError: a key that there is not, or a value out of bounds.
    """
    sections: dict[str, Any] = {}
    for name, adapter in _SECTIONS.items():
        try:
            sections[name] = adapter.validate_python(recipe.get(name, {}))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join([name, *(str(part) for part in first["loc"])])
            raise InputError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error
    return search_config(sections["search"], sections["slimming"])


def config_of_draw(told: Any) -> SearchConfig:
    """The settings of a draw, all of them, as its "config" tells them.

    Raises:
        InputError: they are damaged.
    """
    if not isinstance(told, dict):
        raise InputError("its config holds no settings")
    try:
        return SearchConfig.from_plain(told)
    except TypeError as error:
        raise InputError(f"its config is damaged: {error}") from error


def config_as_drawn(config: SearchConfig, draw: Mapping[str, Any]) -> SearchConfig:
    """The recipe's settings with what a draw of an earlier version tells: `earlybird draw` takes others.

    Raises:
        InputError: a value out of bounds.
    """
    detector = draw.get("detector")
    if isinstance(detector, str) and detector != config.detector:
        config = config.with_detector(detector)
    told = {key: draw[key] for key in ("score", "heads_scope", "neurons_scope") if key in draw}
    for kind in KINDS:
        if kind not in draw["kinds"]:
            told[kind] = None
        elif f"{kind}_ratio" in draw:
            told[kind] = draw[f"{kind}_ratio"]
    return replace(config, **told)
