"""The section on where the numbers come from: commands, recipe, versions."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import version

from earlybird.report.page.frames import missing
from earlybird.report.page.markup import Markup, details, element
from earlybird.report.run import Run


def origin(run: Run) -> list[Markup]:
    """The section's parts."""
    parts = [missing(run.missing[key]) for key in ("recipe", "search") if key in run.missing]
    if run.recipe_text is not None:
        again = f"earlybird run {shlex.quote(str(run.root / 'recipe.yaml'))} output=DIRECTORY"
        report = f"earlybird report {shlex.quote(str(run.root))}"
        parts += [
            element("h3", "How to reproduce"),
            element(
                "p",
                "The first command repeats the whole run elsewhere, with the ticket that the recipe draws; the second"
                " writes this report again.",
            ),
            _code(f"{again}\n{report}", "Commands"),
            element("h3", "The resolved recipe"),
            _code(run.recipe_text, "recipe.yaml"),
        ]
    parts += [element("h3", "Versions"), _definitions(_versions(run))]
    if run.draw is not None:
        parts.append(details("What the draw was decided on", _code(json.dumps(run.draw, indent=1), "draw.json")))
    return parts


def _versions(run: Run) -> dict[str, object]:
    versions: dict[str, object] = {}
    if run.summary is not None and "earlybird" in run.summary:
        versions["Run by earlybird"] = run.summary["earlybird"]
    recorded = run.ticket.provenance.get("versions") if run.ticket is not None else None
    if isinstance(recorded, Mapping):
        versions |= {f"Drawn by {name}": value for name, value in recorded.items()}
    versions["Reported by earlybird"] = version("earlybird")
    versions["Reported by Python"] = platform.python_version()
    return versions


def _definitions(pairs: Mapping[str, object]) -> Markup:
    return element("dl", *(part for key, value in pairs.items() for part in (element("dt", key), element("dd", value))))


def _code(text: str, label: str) -> Markup:
    return element("pre", text, tabindex=0, role="region", aria_label=label)
