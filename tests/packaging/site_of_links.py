"""An environment that sees a wheel and what it declares, and nothing else of what is installed here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]


def build_wheel(place: Path) -> Path:
    """The wheel, built from a copy of the tree."""
    copy = place / "tree"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*PIP, "wheel", str(copy), *offline, "--wheel-dir", str(place / "dist")], cwd=place, check=True)
    (wheel,) = (place / "dist").iterdir()
    return wheel


def metadata_of(wheel: Path) -> Distribution:
    """What the wheel says of itself."""
    inside = zipfile.Path(wheel)
    (information,) = (path for path in inside.iterdir() if path.name.endswith(".dist-info"))
    return PathDistribution(information)


def required_by(requirer: Distribution, extras: Iterable[str] = ()) -> list[Requirement]:
    """Its requirements on this machine, with those of the extras."""
    wanted = ("", *extras)
    requirements = [Requirement(text) for text in requirer.requires or []]
    return [
        each
        for each in requirements
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in wanted)
    ]


def closure(wheel: Path, extras: Iterable[str] = ()) -> dict[str, Distribution]:
    """What pip would install for the wheel, taken from the running environment, by name."""
    itself = metadata_of(wheel)
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = required_by(itself, extras)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        if name == canonicalize_name(itself.metadata["Name"]):
            waiting += required_by(itself, requirement.extras)
            continue
        found[name] = distribution(name)
        assert requirement.specifier.contains(found[name].version, prereleases=True), requirement
        waiting += required_by(found[name], requirement.extras)
    return found


@dataclass(frozen=True)
class Environment:
    """A virtual environment without pip, whose packages are links."""

    directory: Path

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run one of its programs: `python`, `earlybird`."""
        program = str(self.directory / "bin" / command[0])
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment = {**kept, "PYTHONNOUSERSITE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [program, *command[1:]], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )


def environment_of(wheel: Path, packages: Iterable[Distribution], directory: Path) -> Environment:
    """An environment with the wheel and those packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    (site,) = directory.glob("lib/python*/site-packages")
    for package in packages:
        assert package.files, f"{package.name} does not say its files"
        for file in package.files:
            if ".." not in file.parts:  # commands, manual pages
                link = site / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(Path(str(file.locate())).absolute())
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    python = str(directory / "bin/python")
    subprocess.run([*PIP, "--python", python, "install", *offline, str(wheel)], cwd=directory, check=True)
    return Environment(directory)
