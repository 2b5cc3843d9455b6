"""Each feature of the Trainer, with a search that stops and one that continues, works or is refused before a step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from trainer_features import FEATURES, cell, table
from two_processes import TORCHRUN, started

pytestmark = pytest.mark.thorough

PAGE = Path(__file__).parents[2] / "docs" / "trainer-features.md"
PROGRAM = Path(__file__).with_name("trainer_features.py")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    found = {}
    for feature in FEATURES:
        for then in ("stop", "continue"):
            if feature.processes == 1:
                found[feature.name, then] = cell(feature, then, tmp_path_factory.mktemp(then))
        torch.compiler.reset()
    return found


@pytest.fixture(scope="module")
def cells_of_two_processes(tmp_path_factory):
    directory = tmp_path_factory.mktemp("two")
    result = started([*TORCHRUN, PROGRAM, directory])
    assert result.returncode == 0, result.stderr
    first, second = (json.loads((directory / f"process-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    (name,) = (feature.name for feature in FEATURES if feature.processes == 2)
    return {(name, then): outcome for then, outcome in first.items()}


def test_the_page_has_the_table_as_it_was_tried(cells, cells_of_two_processes):
    assert table({**cells, **cells_of_two_processes}) in PAGE.read_text()
