"""The pages: their Python runs, their commands exist, their links lead somewhere, no public name is missing."""

from __future__ import annotations

import importlib.util
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from preparations import PREPARATIONS

import earlybird
from earlybird.cli.commands import app
from earlybird.recipes.recipe_file import read_recipe, shipped_recipes

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# Beside the pages: what says how a result was made.
WITH_COMMANDS = [*PAGES, *sorted((ROOT / "benchmarks").rglob("*.md"))]
PATHS = [str(page.relative_to(ROOT)) for page in WITH_COMMANDS]


def blocks(page: Path, *languages: str) -> list[str]:
    """The contents of a page's fenced blocks in one of those languages."""
    return [
        code
        for language, code in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S)
        if language in languages
    ]


def commands(page: Path) -> list[str]:
    """What a page tells to type: lines in blocks, and code within the text."""
    lines = [
        line.split(" #")[0].removeprefix("$ ")
        for block in blocks(page, "console", "")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += re.findall(r"`(earlybird [a-z][^`]*)`", page.read_text())
    return [line.strip() for line in lines if line.startswith("earlybird ")]


@pytest.mark.parametrize("name", [name for name, page in zip(NAMES, PAGES, strict=True) if blocks(page, "python")])
def test_the_python_of_a_page_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "docs/timm.md" and importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed, and its weights come from the hub")
    monkeypatch.chdir(tmp_path)
    namespace = PREPARATIONS[name](tmp_path)
    for code in blocks(ROOT / name, "python"):
        exec(compile(code, name, "exec"), namespace)


def test_every_page_with_python_is_prepared() -> None:
    assert set(PREPARATIONS) == {name for name, page in zip(NAMES, PAGES, strict=True) if blocks(page, "python")}


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=PATHS)
def test_the_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    known = typer.main.get_group(app).commands
    for line in commands(page):
        _, name, *rest = shlex.split(line)
        assert name in known, line
        options = {"--help"} | {option for parameter in known[name].params for option in parameter.opts}
        for word in rest:
            assert not word.startswith("--") or word.split("=")[0] in options, line


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=PATHS)
def test_the_keys_that_a_page_sets_are_those_of_its_recipe(page: Path) -> None:
    for line in commands(page):
        _, _, *words = shlex.split(line)
        if words and f"{words[0]}.yaml" in shipped_recipes():
            axes = [word for option, word in pairwise(words) if option == "--axis"]
            settings = [word for word in words[1:] if "=" in word and word not in axes]
            read_recipe(words[0], [*settings, *(axis.split(",")[0] for axis in axes)])


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=PATHS)
def test_the_links_of_a_page_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_public_name_is_on_the_reference_page() -> None:
    listed = set(re.findall(r"^::: \S*\.(\w+)$", (ROOT / "docs/reference.md").read_text(), re.M))
    assert set(earlybird.__all__) <= listed
