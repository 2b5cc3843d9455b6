"""Every setting of a search is declared in one place, `earlybird/config.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import earlybird
from earlybird.config import SearchConfig

PACKAGE = Path(earlybird.__file__).parent
SETTINGS = {each.name for each in fields(SearchConfig)}
# The core works on plain values, handed to it from a config.
TAKE_PLAIN_VALUES = {"config.py", "masks", "criteria", "stationarity", "detectors"}
# What has the name of a setting and is another thing.
NO_SETTINGS = {
    ("anatomy/anatomy.py", "of", "exclude"),  # what the setting is handed to
    ("cli/tools.py", "import_recordings", "heads"),  # files
    ("cli/tools.py", "import_recordings", "neurons"),
    ("anatomy/blocks.py", "MlpBlock", "experts"),  # how many there are
    ("trajectory/trajectory.py", "from_arrays", "heads"),  # recordings
    ("trajectory/trajectory.py", "from_arrays", "neurons"),
    ("trajectory/trajectory.py", "from_arrays", "experts"),
    ("trajectory/trajectory.py", "from_npy", "heads"),
    ("trajectory/trajectory.py", "from_npy", "neurons"),
    ("recipes/settings.py", "RetrainingSettings", "learning_rate"),  # the weights'
    ("recipes/tasks/causal_lm/settings.py", "LanguageDataSettings", "examples"),  # what a row of data holds
}


def declared(source: str) -> Iterator[tuple[str, str]]:
    """Function or class and name of whatever has a setting's name and a default value."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            positional = [*node.args.posonlyargs, *node.args.args]
            with_default = positional[len(positional) - len(node.args.defaults) :]
            pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            with_default += [argument for argument, default in pairs if default is not None]
            names = [argument.arg for argument in with_default]
        elif isinstance(node, ast.ClassDef):
            body = [line for line in node.body if isinstance(line, ast.AnnAssign) and line.value is not None]
            names = [line.target.id for line in body if isinstance(line.target, ast.Name)]
        else:
            continue
        yield from ((node.name, name) for name in names if name in SETTINGS)


def test_a_setting_declared_a_second_time_is_found():
    assert list(declared("def search(model, heads=0.3, *, joint='latched', steps=1): ...")) == [
        ("search", "heads"),
        ("search", "joint"),
    ]
    assert list(declared("class Settings:\n    round_to: int = 1\n    layers: int = 2")) == [("Settings", "round_to")]


def test_no_setting_is_declared_a_second_time():
    found = {
        (path.relative_to(PACKAGE).as_posix(), *place)
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in TAKE_PLAIN_VALUES
        for place in declared(path.read_text(encoding="utf-8"))
    }
    assert found == NO_SETTINGS


def test_every_setting_is_documented_where_it_is_declared():
    assert all(each.metadata["help"] for each in fields(SearchConfig))
