"""YAML recipe + `key=value` overrides -> validated settings."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError

from earlybird.config import DEFAULT_RATIOS, DetectorConfig
from earlybird.detectors.defaults import takes_budget
from earlybird.errors import InputError, nearest
from earlybird.recipes.former_names import todays_recipe
from earlybird.recipes.plain_yaml import parse_yaml, read_yaml
from earlybird.recipes.settings import Recipe
from earlybird.recipes.tasks import recipe_type
from earlybird.vocabulary import KINDS, MEASURES

SHIPPED = Path(__file__).parent


def read_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a file, or one that ships with earlybird by its name.

    Args:
        name: path of a YAML file, or a shipped recipe as `vit-cifar10.yaml` (the ending may be left out).
        overrides: `key=value` with dots for nesting, e.g. `search.heads=0.3`; values are YAML.

    Raises:
        InputError: no such file, no YAML, an unknown key (the nearest right one is named), a value out of bounds.
    """
    path = _find(name)
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} is no recipe: it must hold keys and values")
    keys = {_override(content, override) for override in overrides}
    _give_way(content, keys, shipped=path.parent == SHIPPED)
    return validated(content, str(path))


def validated(content: dict[str, Any], source: str) -> Recipe:
    """Check the keys and values of a recipe; errors name the source."""
    content = todays_recipe(content)
    try:
        settings = recipe_type(content)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    try:
        return settings.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{source}: {first_problem(error, settings)}") from error


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with earlybird."""
    return sorted(path.name for path in SHIPPED.glob("*.yaml"))


def _find(name: str) -> Path:
    candidates = [Path(name), SHIPPED / Path(name).name, SHIPPED / f"{Path(name).name}.yaml"]
    # A name with a folder in it means that file and no other.
    for path in candidates[: 1 if len(Path(name).parts) > 1 else None]:
        if path.is_file():
            return path
    raise InputError(f"there is no recipe {name}; shipped with earlybird are {', '.join(shipped_recipes())}")


def _give_way(content: dict[str, Any], overridden: set[str], *, shipped: bool) -> None:
    """What the file says of how much is pruned gives way to an override that says it otherwise: ratios, or a budget.

    The budget of a recipe that ships gives way to ratios, too, where an override asks for a score or a detector that
    cannot go by one. Whoever has written a budget is told so.
    """
    search = content.get("search")
    if not isinstance(search, dict):
        return
    named = {key.removeprefix("search.") for key in overridden if key.startswith("search.")}
    said = {name for name in named if search.get(name) is not None}
    gone: set[str] = set()
    if said & set(MEASURES):
        gone = {*KINDS, "heads_scope", "neurons_scope", *MEASURES}
    elif said & set(KINDS):
        gone = set(MEASURES)
    for name in gone - said:
        search.pop(name, None)
    kept = [measure for measure in MEASURES if search.get(measure) is not None and measure not in said]
    if (
        shipped
        and kept
        and named & {"score", "detector", "heads_scope", "neurons_scope"}
        and not _goes_by_budget(search)
    ):
        search.pop(kept[0])
        search |= {str(kind): ratio for kind, ratio in DEFAULT_RATIOS.items()}
        search["heads_scope"] = search.get("heads_scope") or "global"


def _goes_by_budget(search: Mapping[str, Any]) -> bool:
    if "layer" in (search.get("heads_scope"), search.get("neurons_scope")):
        return False
    try:
        return takes_budget(DetectorConfig(detector=search.get("detector"), score=search.get("score")))
    except InputError:  # which the recipe's own check says with its place
        return True


def _override(content: dict[str, Any], override: str) -> str:
    """Take one in; the key that it sets."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise InputError(f"an override is key=value, got {override!r}")
    try:
        value = parse_yaml(text)
    except InputError as error:
        raise InputError(f"the value of {key}, {reprlib.repr(text)}, is {error}") from error
    *parents, last = key.strip().split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise InputError(f"{key} cannot be set: {parent} is a value, not a group of keys")
    place[last] = value
    return key.strip()


def first_problem(error: ValidationError, settings: type[BaseModel]) -> str:
    """One sentence about the first of pydantic's findings on these settings, and how many more there are."""
    problems = error.errors()
    # A misspelt key explains the "missing" one beside it, so it goes first.
    first = next((p for p in problems if p["type"] in _UNKNOWN), problems[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in _UNKNOWN:
        known = sorted(_keys_at(settings, first["loc"][:-1]))
        text = f"unknown key {where!r}; {nearest(str(first['loc'][-1]), known, otherwise='known are')}"
    elif first["type"] == "missing":
        text = f"the key {where!r} is missing"
    elif first["type"] == "tuple_type":
        text = f"{where}: give a list, [A, B], got {reprlib.repr(first['input'])}"
    elif first["type"] == "literal_error" and isinstance(first["input"], str):
        known = re.findall("'([^']*)'", first["ctx"]["expected"])
        text = f"{where}: got {reprlib.repr(first['input'])}; {nearest(first['input'], known)}"
    else:
        message = first["msg"].removeprefix("Value error, ")
        key, _, rest = message.partition(" ")
        tells = key.endswith(":") or rest.startswith("must ")
        if tells and key.removesuffix(":") in _keys_at(settings, first["loc"]):
            # A config class tells which of its fields is wrong.
            where, message = f"{where}.{key.removesuffix(':')}", rest
        message = message[:1].lower() + message[1:]
        given = "" if first["type"] == "value_error" else f", got {reprlib.repr(first['input'])}"
        text = f"{where}: {message}{given}" if where else message
    more = len(problems) - 1
    return text + (f" (and {more} more)" if more else "")


# Of a model, and of a dataclass.
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


def _keys_at(settings: type[Any], location: tuple[int | str, ...]) -> set[str]:
    """The keys of the settings at a place of a recipe."""
    for part in location:
        own = get_type_hints(settings).get(str(part))
        if not isinstance(own, type) or not (issubclass(own, BaseModel) or is_dataclass(own)):
            return set()
        settings = own
    return {each.name for each in fields(settings)} if is_dataclass(settings) else set(settings.model_fields)
