"""Of several processes the first writes a model, and the others wait for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from two_processes import TORCHRUN, started

WORKER = Path(__file__).parent / "saving_worker.py"


def outcomes(directory: Path, how: str) -> list[dict[str, Any]]:
    result = started([*TORCHRUN, WORKER, directory, how])
    assert result.returncode == 0, result.stderr
    return [json.loads((directory / f"process-{rank}.json").read_text()) for rank in (0, 1)]


def test_every_process_may_save_and_finds_the_model_whole_after_it(tmp_path):
    for outcome in outcomes(tmp_path, "together"):
        assert outcome["same"] == [True, True, True]
        assert outcome["files"] == [
            *("README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
        ]


@pytest.mark.thorough
def test_what_one_process_exported_is_there_after_another_ones_export(tmp_path):
    for outcome in outcomes(tmp_path, "in_turn"):
        for files in outcome.values():
            assert files == ["config.json", "model.safetensors"]


@pytest.mark.thorough
def test_the_first_process_may_save_alone(tmp_path):
    assert outcomes(tmp_path, "first_alone") == [{"same": True}, {"same": True}]


@pytest.mark.thorough
def test_where_the_first_process_fails_the_others_do_and_all_go_on(tmp_path):
    first, second = outcomes(tmp_path, "failing")
    assert first["failed"][0] == "ValueError"
    assert second["failed"][0] == "JobError"
    assert first["failed"][1] in second["failed"][1]
    for outcome in (first, second):
        assert outcome["refused"][0] == "InputError"
        assert "per-layer-config cannot describe" in outcome["refused"][1]
        assert not outcome["left"]
        assert outcome["same"]


@pytest.mark.thorough
def test_weights_that_are_spread_over_processes_are_refused(tmp_path):
    for outcome in outcomes(tmp_path, "sharded"):
        assert outcome["refused"][0] == "InputError"
        assert "gather them into a plain model" in outcome["refused"][1]
        assert not outcome["left"]
