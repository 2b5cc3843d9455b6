"""What a run has left in its directory so far, and one line on each thing that is missing or damaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from earlybird.config import SearchConfig
from earlybird.errors import InputError
from earlybird.recipes.former_names import todays_draw, todays_recipe, todays_summary, written_recipe
from earlybird.recipes.metric_names import deciding_metric
from earlybird.recipes.plain_yaml import read_text, read_yaml
from earlybird.recipes.run_directory import RESULT, RunDirectory, read_json
from earlybird.report.search_settings import config_as_drawn, config_of_draw, config_of_recipe
from earlybird.ticket import Ticket
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import KINDS, How, Which

_Content = TypeVar("_Content")

# A ticket by chance has no draw.
_DRAWN = [how for how in get_args(How) if how != "random"]


@dataclass(frozen=True)
class Run:
    """The readable files of a run.

    Attributes:
        root: the run's directory.
        recipe_text: recipe.yaml as it is written.
        recipe: its content, {} where it cannot be read.
        search: the settings of its search: those that the ticket was drawn by, before a draw the recipe's.
        result: search/result.json.
        trajectory: the record of the coefficients.
        draw: draw.json, by the keys of today.
        ticket: the drawn ticket.
        random: the random ticket of the same shape.
        summary: summary.json, likewise.
        missing: for each of these that is None, why, in one sentence.
    """

    root: Path
    recipe_text: str | None
    recipe: Mapping[str, Any]
    search: SearchConfig | None
    result: Mapping[str, Any] | None
    trajectory: Trajectory | None
    draw: Mapping[str, Any] | None
    ticket: Ticket | None
    random: Ticket | None
    summary: Mapping[str, Any] | None
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What to call the run: the recipe's name, or the directory's."""
        name = self.recipe.get("name")
        name = name if isinstance(name, str) and name else self.root.resolve().name
        # Half a surrogate pair, which YAML can write, is no character that a font could show.
        return name.encode(errors="backslashreplace").decode()


def read_run(root: Path) -> Run:
    """Read what is there.

    Raises:
        InputError: there is no such directory, or no file of a run in it.
    """
    if not root.is_dir():
        raise InputError(f"there is no directory {root}")
    files = RunDirectory(root)
    known = (files.recipe, files.trajectory, files.draw, files.ticket("ticket"), files.summary)
    if not any(path.exists() for path in known):
        raise InputError(f"{root} is not a run's directory: there is no recipe.yaml in it")
    missing: dict[str, str] = {}

    def read(key: str, path: Path, absent: str, reader: Callable[[Path], _Content]) -> _Content | None:
        if not path.exists():
            missing[key] = absent
            return None
        try:
            return reader(path)
        except (InputError, OSError) as error:
            missing[key] = f"{path.relative_to(root)} cannot be read: {error}"
            return None

    text = read("recipe", files.recipe, "There is no recipe.yaml, so the settings are not known.", read_text)
    recipe = read("recipe", files.recipe, missing.get("recipe", ""), _recipe) if text is not None else None
    draw = read("draw", files.draw, "There is no draw.json: nothing is drawn yet.", _draw)
    search: SearchConfig | None = None
    if draw is not None and "config" in draw:
        told = draw["config"]
        search = read("search", files.draw, "", lambda _: config_of_draw(told))
    elif recipe is not None:
        search = read("search", files.recipe, "", lambda _: config_of_recipe(recipe))
        if search is not None and draw is not None:
            own, described = search, draw
            search = read("search", files.draw, "", lambda _: config_as_drawn(own, described))
    trajectory = read(
        "trajectory", files.trajectory, "There is no search/trajectory: no step is recorded.", _trajectory
    )

    def ticket(which: Which, absent: str) -> Ticket | None:
        return read(which, files.ticket(which), absent, lambda path: _ticket(path, trajectory))

    return Run(
        root=root,
        recipe_text=text,
        recipe=recipe or {},
        search=search,
        result=read("result", files.search / RESULT, "The search has not finished.", read_json),
        trajectory=trajectory,
        draw=draw,
        ticket=ticket("ticket", "There is no ticket.json: nothing is drawn yet."),
        random=ticket("random", "There is no random.json: no random ticket was made."),
        summary=read("summary", files.summary, "There is no summary.json: the trainings have not finished.", _summary),
        missing=missing,
    )


def read_trajectory(directory: Path) -> Run:
    """A trajectory that stands by itself, as a run of which nothing else is known.

    Raises:
        InputError: it is damaged, or no step of it is whole.
    """
    return Run(
        root=directory,
        recipe_text=None,
        recipe={},
        search=None,
        result=None,
        trajectory=_trajectory(directory),
        draw=None,
        ticket=None,
        random=None,
        summary=None,
    )


def _recipe(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError("it holds no settings")
    return written_recipe(todays_recipe(content))


def _trajectory(path: Path) -> Trajectory:
    trajectory = Trajectory.open(path)
    if trajectory.steps == 0:
        raise InputError("it holds no complete chunk yet")
    return trajectory


def _summary(path: Path) -> dict[str, Any]:
    summary = todays_summary(read_json(path))
    deciding_metric(summary)
    return summary


def _ticket(path: Path, trajectory: Trajectory | None) -> Ticket:
    ticket = Ticket.load(path)
    if trajectory is not None and any(ticket.units[kind] != trajectory.shape.units.get(kind) for kind in ticket.masks):
        raise InputError("it is for another model than the one that was recorded")
    return ticket


def _draw(path: Path) -> dict[str, Any]:
    draw = todays_draw(read_json(path))
    kinds = draw.get("kinds")
    steps = [draw.get("step")]
    if isinstance(kinds, dict):
        steps += [entry.get("step") if isinstance(entry, dict) else None for entry in kinds.values()]
    sensible = isinstance(kinds, dict) and set(kinds) <= set(KINDS)
    if not sensible or any(type(step) is not int or not 0 <= step < 2**53 for step in steps):
        raise InputError("it is damaged: its steps make no sense")
    if draw["how"] not in _DRAWN:
        raise InputError(f"it is damaged: how must be one of {', '.join(_DRAWN)}, got {draw['how']!r}")
    return draw
