"""Pruned models saved, to be loaded with and without earlybird."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from comparison import relative_difference, ticket_for
from families import build, inputs
from safetensors.torch import save_file

import earlybird as eb
from earlybird.surgery.pruned_shape import record_shape


def save_and_load(name: str, directory: Path) -> float:
    """Save a pruned model, load it by `from_pretrained`; the largest relative difference of their outputs."""
    model = build(name)
    pruned = eb.prune(model, ticket_for(model))
    expected = save_with_output(pruned, name, directory)
    # By default it would come with another kernel, which answers padded places otherwise.
    loaded = type(pruned).from_pretrained(directory, attn_implementation="eager")
    with torch.no_grad():
        found = loaded(**inputs(name))[0]
    return relative_difference([expected], [found])


def save_uniform(name: str, directory: Path) -> dict[str, str]:
    """Save a model that keeps the same number of a kind in every block; by kind, why its config cannot say it."""
    model = build(name)
    anatomy = eb.Anatomy.of(model)
    reasons: dict[str, str] = {}
    for kind in anatomy.units:
        ticket = eb.Ticket.random(anatomy, eb.PruningConfig(uniform=True, **{kind: 0.4}))
        pruned = eb.prune(copy.deepcopy(model), ticket)
        reasons[kind] = record_shape(pruned, eb.Anatomy.of(pruned))
        save_with_output(pruned, name, directory / kind)
    return reasons


def save_with_output(model: Any, name: str, directory: Path) -> torch.Tensor:
    """Save a model and what it answers, for a process that has only transformers; returns that."""
    eb.save(model, directory)
    with torch.no_grad():
        answer: torch.Tensor = model(**inputs(name))[0]
    save_file({"answer": answer.contiguous()}, directory / "answer.st")
    return answer


def without_earlybird(directories: dict[str, str]) -> dict[str, float | str]:
    """Load saved models in one process that cannot import earlybird.

    Args:
        directories: directory -> name of the family.

    Returns:
        By directory the largest absolute difference of the outputs, or the error.
    """
    program = Path(__file__).parent / "load_without_earlybird.py"
    command = [sys.executable, "-W", "ignore", program]
    done = subprocess.run(command, input=json.dumps(directories), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program.name} failed: {done.stderr[-2000:]}")
    result: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return result
