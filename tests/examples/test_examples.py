"""Every example runs as it stands and ends with a small network that has learnt something."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))

# The others run in one process.
TORCHRUN = {"fully_sharded": ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")}
OPTIONS = {"trl_sft": ("", "--lora")}
# Of ten classes, 10% by chance; half of an answer's tokens are its end.
LEAST = {"trl_sft": 75}
THOROUGH = ("fully_sharded", "trl_sft")
RUNS = [
    pytest.param(
        example,
        option,
        id=example.stem + option,
        marks=[pytest.mark.thorough] if example.stem in THOROUGH else [],
    )
    for example in EXAMPLES
    for option in OPTIONS.get(example.stem, ("",))
]


@pytest.mark.parametrize(("example", "option"), RUNS)
def test_example(example, option, tmp_path):
    result = subprocess.run(
        [sys.executable, *TORCHRUN.get(example.stem, ()), str(example), *option.split()],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = re.search(r"held-out accuracy ([\d.]+)%", result.stdout)
    assert found is not None
    assert float(found[1]) > LEAST.get(example.stem, 50)
    assert "draw" in result.stdout
