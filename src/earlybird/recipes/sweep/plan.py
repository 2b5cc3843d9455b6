"""From what is asked for to the cells of the table, and the searches that feed them."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from earlybird.config import DEFAULT_RATIOS, CompensationConfig, DetectorConfig, PruningConfig
from earlybird.detectors.defaults import takes_budget
from earlybird.errors import InputError
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.settings import Recipe
from earlybird.recipes.stages.run import weights_of
from earlybird.recipes.sweep.directory import SweepDirectory
from earlybird.recipes.sweep.settings import DENSE, FINAL, RANDOM, SweepSettings
from earlybird.spans import Span
from earlybird.vocabulary import KINDS, MEASURES, WEIGHED_KINDS, Weights

Coefficients = Literal["trained", "fixed"]

# The whole search: the mask of its last step.
_END = Span(1.0, "fraction")
# These say which units get coefficients, so a search depends on them.
_ATTACHED = {"search.heads", "search.neurons", "search.exclude"}
_DRAWING = {
    f"search.{each.name}" for part in (PruningConfig, CompensationConfig, DetectorConfig) for each in fields(part)
} - _ATTACHED


@dataclass(frozen=True)
class Cell:
    """One training, and one number for the table.

    Attributes:
        name: of its directory.
        labels: what tells it from the others: draw, ratio, score, whether its search trains coefficients, start, seed,
            and the axes' values that are not the base recipe's.
        which: the dense network, the drawn ticket or the random one.
        at: where to draw; None leaves it to the recipe's detector.
        recipe: of the cell's own run directory.
        search: name of the search that it is drawn from; of a dense network, of one that is the same training, as a
            search is that leaves the coefficients at 1, or None.
        dense: name of the dense cell that it is compared with, whether or not there is one.
    """

    name: str
    labels: Mapping[str, Any]
    which: Literal["dense", "ticket", "random"]
    at: Span | None
    recipe: Recipe
    search: str | None
    dense: str

    @property
    def weights(self) -> Weights:
        """What the pruned network starts from."""
        return self.recipe.retraining.weights  # type: ignore[return-value]  # "both" is taken apart by the plan

    def __str__(self) -> str:
        axes = [f"{key}={value}" for key, value in self.labels["axes"].items()]
        ratio = [named_ratio(written_ratio(self.labels["ratio"]))] if self.labels["ratio"] else []
        score = self.labels["score"]
        parts = [self.labels["draw"], *ratio, score, self.labels["start"], *axes, f"seed {self.labels['seed']}"]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Plan:
    """All cells that are asked for.

    Attributes:
        base: the recipe before anything is varied.
        cells: by name, in the order of the table.
        searches: their recipes by name.
    """

    base: Recipe
    cells: Mapping[str, Cell]
    searches: Mapping[str, Recipe]


def plan_sweep(name: str, overrides: Sequence[str], settings: SweepSettings, root: Path) -> Plan:
    """Lay out a sweep of a recipe.

    Args:
        name: of the recipe, see `read_recipe`.
        overrides: of the recipe, `key=value`, for all cells.
        settings: what is varied.
        root: the sweep's directory.

    Raises:
        InputError: a recipe that cannot be read, or an axis with a value that is out of bounds or repeats.
    """
    overrides = _all_by_ratios(name, overrides, settings)
    base = read_recipe(name, overrides)
    points = list(_points(name, overrides, settings, base))
    budgets = [point.recipe.search.budget for point in points if point.recipe.search.budget is not None]
    if settings.ratios and budgets:
        raise InputError(f"--ratio and search.{budgets[0][0]} both say how much is pruned: give one sweep each")
    cells: dict[str, Cell] = {}
    searches: dict[str, Recipe] = {}
    scores = {score for point in points for score in settings.scores or (point.recipe.search.score,)}
    files = SweepDirectory(root)
    for point, index in itertools.product(points, range(settings.seeds)):
        seed = base.seed + index
        # Where no score needs trained coefficients, they stay at 1 and the training is what it would be without.
        coefficients: Coefficients = "trained" if "coefficient" in scores else "fixed"
        search = _named("search", {"seed": seed, "coefficients": coefficients, "axes": point.of_the_search})
        if search not in searches:
            searches[search] = _search_recipe(point.search_recipe, seed, coefficients, files.search(search))
        for cell in _cells(point, seed, search, coefficients, settings, files):
            cells.setdefault(cell.name, cell)
    return Plan(base, cells, searches)


def _all_by_ratios(name: str, overrides: Sequence[str], settings: SweepSettings) -> Sequence[str]:
    """The overrides, with ratios where nobody says how much is pruned and some cell cannot go by a budget.

    All cells then prune as much: what is compared is not how much is asked for.
    """
    said = {text.partition("=")[0].strip() for text in overrides} | settings.axes.keys()
    if said & {f"search.{amount}" for amount in (*KINDS, *MEASURES)}:
        return overrides
    searches = [point.recipe.search for point in _points(name, overrides, settings, read_recipe(name, overrides))]
    if all(search.budget is None for search in searches):
        return overrides
    by_budget = not settings.ratios and all(
        search.budget is not None and takes_budget(DetectorConfig(score=score, detector=detector))
        for search in searches
        for score in settings.scores or (search.score,)
        for detector in settings.all_detectors or (search.detector,)
    )
    return overrides if by_budget else [*overrides, *(f"search.{kind}={r}" for kind, r in DEFAULT_RATIOS.items())]


@dataclass(frozen=True)
class _Point:
    """One combination of the axes' values: its recipe, and that of its search."""

    recipe: Recipe
    search_recipe: Recipe
    axes: Mapping[str, Any]

    @property
    def of_the_search(self) -> dict[str, Any]:
        return {key: value for key, value in self.axes.items() if not _after_the_search(key)}

    @property
    def of_the_dense_network(self) -> dict[str, Any]:
        return {key: value for key, value in self.axes.items() if concerns_dense(key)}


def concerns_dense(key: str) -> bool:
    """Whether a key of the recipe is anything to the training of the dense network."""
    return not key.startswith(("search.", "slimming.", "retraining."))


def _after_the_search(key: str) -> bool:
    return key.startswith("retraining.") or key in _DRAWING


def _points(name: str, overrides: Sequence[str], settings: SweepSettings, base: Recipe) -> Iterator[_Point]:
    axes, before = settings.axes, base.model_dump(mode="json")
    seen: list[dict[str, Any]] = []
    for values in itertools.product(*axes.values()):
        assigned = {key: f"{key}={value}" for key, value in zip(axes, values, strict=True)}
        recipe = read_recipe(name, [*overrides, *assigned.values()])
        search = [text for key, text in assigned.items() if not _after_the_search(key)]
        now = recipe.model_dump(mode="json")
        # What is as in the base recipe is no label, so that an axis can be added to a sweep that is there.
        varied = {key: recipe_value(now, key) for key in axes if recipe_value(now, key) != recipe_value(before, key)}
        if varied in seen:
            raise InputError(f"the axes give the same recipe twice, with {', '.join(assigned.values())}; give it once")
        seen.append(varied)
        yield _Point(recipe, read_recipe(name, [*overrides, *search]), varied)


def _search_recipe(recipe: Recipe, seed: int, coefficients: Coefficients, root: Path) -> Recipe:
    score = "coefficient" if coefficients == "trained" else "gradient" if recipe.search.budget is None else None
    wanted: dict[str, Any] = {"score": score, "record": "all", "to_the_end": True, "unsettled": "draw"}
    return recipe.model_copy(
        update={
            "seed": seed,
            "output": str(root),
            "dense": False,
            "random": False,
            "search": replace(recipe.search, **wanted),
        }
    )


def _cells(
    point: _Point,
    seed: int,
    search: str,
    coefficients: Coefficients,
    settings: SweepSettings,
    files: SweepDirectory,
) -> Iterator[Cell]:
    nothing = dict.fromkeys(("ratio", "score", "coefficients", "start"))
    dense_labels = {"draw": DENSE, **nothing, "seed": seed, "axes": point.of_the_dense_network}
    dense = _named(DENSE, dense_labels)
    common = {"seed": seed, "dense": False, "random": False}

    def cell(draw: str, recipe: Recipe, which: Literal["ticket", "random"], at: Span | None = None) -> Cell:
        wanted = recipe.search
        labels = {
            "draw": draw,
            "ratio": {kind: ratio or 0.0 for kind in KINDS if (ratio := getattr(wanted, kind)) or kind in WEIGHED_KINDS}
            if wanted.budget is None
            else dict([wanted.budget]),
            "score": wanted.score,
            "coefficients": coefficients,
            "start": recipe.retraining.weights,
            "seed": seed,
            "axes": dict(point.axes),
        }
        name = _named(draw, labels)
        return Cell(name, labels, which, at, recipe.model_copy(update={"output": str(files.cell(name))}), search, dense)

    if DENSE in settings.also:
        recipe = point.recipe.model_copy(update={**common, "output": str(files.cell(dense))})
        yield Cell(dense, dense_labels, "dense", None, recipe, search if coefficients == "fixed" else None, dense)
    own = point.recipe.search
    ratios: list[dict[str, Any]] = [
        {kind: ratio for kind in WEIGHED_KINDS if getattr(own, kind)} for ratio in settings.ratios
    ]
    detectors = settings.all_detectors
    if not (detectors or settings.draw_at or FINAL in settings.also):
        detectors = (own.detector,)
    scores = settings.scores or (own.score,)
    for ratio, weights in itertools.product(ratios or [{}], settings.weights or weights_of(point.recipe)):
        retraining = point.recipe.retraining.model_copy(update={"weights": weights})
        for score in scores:
            wanted = replace(own, **ratio, score=score, record="all", to_the_end=True)
            recipe = point.recipe.model_copy(update={**common, "search": wanted, "retraining": retraining})
            for span in settings.draw_at:
                yield cell(str(span), recipe, "ticket", span)
            for name in detectors:
                chosen = wanted if name == own.detector else wanted.with_detector(name)
                yield cell(name, recipe.model_copy(update={"search": chosen}), "ticket")
            if FINAL in settings.also:
                yield cell(FINAL, recipe, "ticket", _END)
            if RANDOM in settings.also and score == scores[0]:
                yield cell(RANDOM, recipe, "random")


def recipe_value(recipe: Any, key: str) -> Any:
    """The value at a dotted key of a dumped recipe; None where there is none."""
    for part in key.split("."):
        recipe = recipe.get(part) if isinstance(recipe, Mapping) else None
    return recipe


def written_ratio(ratio: Mapping[str, float]) -> str:
    """A ratio for people: one number, or that of the heads and that of the neurons; a budget and experts by name."""
    budget = next((measure for measure in MEASURES if measure in ratio), None)
    if budget is not None:
        return f"{budget}={ratio[budget]:g}"
    given = [value for kind, value in ratio.items() if value > 0 and kind in WEIGHED_KINDS]
    both = "/".join(f"{value:g}" for value in (given if len(set(given)) > 1 else given[:1]))
    experts = f"experts={ratio['experts']:g}" if ratio.get("experts") else ""
    return ", ".join(filter(None, (both, experts)))


def named_ratio(written: str) -> str:
    """A written ratio with the word for it; a budget has its own."""
    return written if "=" in written else f"ratio {written}"


def _named(what: str, labels: Mapping[str, Any]) -> str:
    """A directory's name: readable, and no other's."""
    ratio, weights = labels.get("ratio"), labels.get("start")
    parts = [what, written_ratio(ratio) if ratio else "", weights or "", f"seed{labels['seed']}"]
    readable = "-".join(re.sub(r"[^\w.%]+", "-", part).strip("-")[:60] for part in parts if part)
    digest = hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()
    return f"{readable}-{digest[:8]}"
