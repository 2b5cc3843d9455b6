"""docs/architecture.md and its diagram show the package as it is."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "website" / "architecture.py"))


def test_the_diagram_is_that_of_the_import_graph(script: dict[str, Any]) -> None:
    drawn = script["svg"](script["imports"]())
    assert (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8") == drawn, "run `make architecture`"


def test_an_arrow_that_follows_from_others_is_left_out(script: dict[str, Any]) -> None:
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert list(script["arrows"](graph)) == [("a", "b"), ("b", "c")]


def test_a_room_without_a_place_in_the_diagram_is_named(script: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="kitchen"):
        script["svg"]({**script["imports"](), "kitchen": set()})


def test_every_room_has_its_sentence(script: dict[str, Any]) -> None:
    table = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(table))) == sorted(script["imports"]())


def test_every_file_of_the_walks_is_there() -> None:
    named = re.findall(r"`((?!src/)\w+/[\w/]*(?:\.py)?)`", PAGE)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / "src" / "earlybird" / name).exists()] == []
