"""What a sweep varies, read once from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from earlybird.config import DetectorConfig
from earlybird.detectors.expression import detector_factory
from earlybird.errors import InputError
from earlybird.recipes.recipe_file import first_problem
from earlybird.recipes.settings_base import Settings
from earlybird.spans import Span
from earlybird.vocabulary import Score, Weights

DENSE, RANDOM, FINAL = "dense", "random", "final"


def listed(text: Any) -> Any:
    """Split a list at its commas, but not at those within parentheses; anything but text is left as it is.

    >>> listed("ols, all(adf, equivalence)")
    ('ols', 'all(adf, equivalence)')
    """
    if not isinstance(text, str):
        return text
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return tuple(part.strip() for part in parts)


Listed = BeforeValidator(listed)


class SweepSettings(Settings):
    """What a sweep varies; where nothing is given, the recipe's own setting holds.

    Attributes:
        ratios: fractions to prune, of heads and of neurons alike where the recipe prunes both.
        draw_at: places of the search to draw at, as spans from its start.
        detectors: to draw by; the recipe's own with its settings, any other with its defaults.
        scores: what ranks the units.
        weights: what the pruned networks train on from.
        seeds: so many, counted up from the recipe's.
        also: `dense`, `random`, `final` (the mask at the end of the search), or further detectors.
        axis: further keys of the recipe, `key=value,value`.
    """

    ratios: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Listed] = ()
    draw_at: Annotated[tuple[Span, ...], Listed] = ()
    detectors: Annotated[tuple[str, ...], Listed] = ()
    scores: Annotated[tuple[Score, ...], Listed] = ()
    weights: Annotated[tuple[Weights, ...], Listed] = ()
    seeds: Annotated[int, Field(ge=1)] = 1
    also: Annotated[tuple[str, ...], Listed] = ()
    axis: tuple[str, ...] = ()

    @field_validator("ratios", "draw_at", "detectors", "scores", "weights", "also")
    @classmethod
    def _nothing_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        repeated = next((value for place, value in enumerate(values) if value in values[:place]), None)
        if repeated is not None:
            raise ValueError(f"{repeated} is given twice; give it once")
        return values

    @field_validator("detectors", "also")
    @classmethod
    def _detectors_are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in (DENSE, RANDOM, FINAL):
                detector_factory(DetectorConfig(detector=name))
        return names

    @field_validator("detectors")
    @classmethod
    def _detectors_only(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name in (DENSE, RANDOM, FINAL):
                raise ValueError(f"{name} is no detector: ask for it with --also {name}")
        return names

    @property
    def all_detectors(self) -> tuple[str, ...]:
        """All detectors asked for, each once."""
        further = [name for name in self.also if name not in (DENSE, RANDOM, FINAL)]
        return tuple(dict.fromkeys([*self.detectors, *further]))

    @property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """The values, as YAML text, of each further key.

        Raises:
            InputError: an axis that cannot be read, is given twice, or has an option of its own.
        """
        axes: dict[str, tuple[str, ...]] = {}
        for text in self.axis:
            key, separator, values = text.partition("=")
            if not separator or not key or not values:
                raise InputError(f"an axis is key=value,value, got {text!r}")
            if key in axes:
                raise InputError(f"the axis {key} is given twice; give all its values at once: {key}=A,B")
            if option := self._own_option(key):
                raise InputError(f"{key} cannot be an axis here: use {option}")
            axes[key] = listed(values)
        return axes

    def _own_option(self, key: str) -> str | None:
        options = {
            "seed": "--seeds",
            "output": "--output",
            "dense": "--also dense",
            "random": "--also random",
            "retraining.weights": "--weights",
            "search.to_the_end": "nothing, every search of a sweep goes to its end",
            "search.record": "nothing, a sweep records what every score needs",
        }
        if self.ratios:
            options |= dict.fromkeys(("search.heads", "search.neurons"), "--ratio")
        if self.scores:
            options["search.score"] = "--score"
        if self.all_detectors or self.draw_at:
            options["search.detector"] = "--detector"
        return options.get(key)


def sweep_settings(given: dict[str, Any], axis: Sequence[str]) -> SweepSettings:
    """Check what a sweep is asked for.

    Raises:
        InputError: a value out of bounds, one given twice, an unknown detector.
    """
    try:
        return SweepSettings(**{key: value for key, value in given.items() if value is not None}, axis=tuple(axis))
    except ValidationError as error:
        raise InputError(f"sweep: {first_problem(error, SweepSettings)}") from error
