"""What files of earlier versions call otherwise: results that are kept have to read the same later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# In a recipe, by section: former key -> today's.
_RECIPE_KEYS = {"search": {"groups": "kv_groups"}, "retraining": {"start": "weights"}}
# In a summary, the networks of a drawn ticket.
_TICKETS = ("ticket", "ticket_continued")
_NAMED_STEP = re.compile(r"step \d+")


# Keys that a written recipe may lack, because it is older than they are: what was done then.
_DONE_THEN: Mapping[str, Mapping[str, Any]] = {
    "search": {"score": "coefficient", "compensation": 0},
    "retraining": {"weights": "rewind"},
}


def written_recipe(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a recipe that a run or sweep has written, with what it did where it does not say."""
    sections = {
        section: {**done, **content.get(section, {})}
        for section, done in _DONE_THEN.items()
        if isinstance(content.get(section, {}), Mapping)
    }
    return {**content, **sections}


def todays_recipe(content: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's content with today's keys."""
    renamed = dict(content)
    for section, keys in _RECIPE_KEYS.items():
        if isinstance(content.get(section), Mapping):
            renamed[section] = {keys.get(key, key): value for key, value in content[section].items()}
    return renamed


def todays_summary(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of summary.json with today's keys."""
    tickets = {key: _told_how(content[key]) for key in _TICKETS if isinstance(content.get(key), Mapping)}
    return {**content, **tickets}


def todays_draw(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of draw.json with today's keys."""
    draw = _told_how(content)
    if "rescued" in draw:
        draw.setdefault("kept_by_minimum", draw.pop("rescued"))
    return draw


def _told_how(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What tells of a draw with its `how`, which stood in the place of the detector."""
    told = dict(entry)
    if "how" not in told:
        detector = told.get("detector")
        told["how"] = "detector"
        if detector == "end" or (isinstance(detector, str) and _NAMED_STEP.fullmatch(detector)):
            told["how"] = "end" if detector == "end" else "step"
            told["detector"] = None
    return told
