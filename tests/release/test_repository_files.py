"""What stands in two files of the repository is the same in both."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

import earlybird

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_version_of_the_package_is_the_newest_of_the_changelog() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert newest is not None
    assert PROJECT["version"] == earlybird.__version__ == newest[1]


def test_the_hooks_before_a_commit_are_those_of_make_lint() -> None:
    recipe = re.search(r"^lint: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert recipe is not None
    lines = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    (local,) = read(".pre-commit-config.yaml")["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == lines


def test_the_hosted_tests_run_on_every_python_that_the_package_names() -> None:
    matrix = read(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    named = [line.rpartition(" :: ")[2] for line in PROJECT["classifiers"] if ":: Python :: 3." in line]
    assert matrix == named
    assert PROJECT["requires-python"] == f">={matrix[0]}"


def test_the_citation_has_what_its_format_requires_and_names_the_package() -> None:
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["title"], citation["license"]) == (PROJECT["name"], PROJECT["license"])
    for work in (citation, *citation["references"]):
        assert {"type", "title", "authors"} <= set(work)
