"""How far a pruned model is from the masked one: outputs and gradients, by attention kernel and dtype."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from comparison import (
    gradient_difference,
    masked_and_pruned,
    outputs,
    prune_repeatedly,
    relative_difference,
    ticket_for,
)
from families import build, inputs

KERNELS = ("eager", "sdpa", "flex_attention")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def exactness(name: str, kernel: str) -> dict[str, Any]:
    """Largest relative differences with and without an attention mask, or why the family has no such kernel."""
    found: dict[str, Any] = {"outputs": {}, "gradients": {}}
    for dtype_name, dtype in DTYPES.items():
        try:
            model = build(name, kernel, dtype)
            with contextlib.suppress(IndexError):  # it takes one sequence at a time, see below
                outputs(model, batches(name, dtype)[0])
        except ValueError as error:
            return {"none": str(error).split(". ")[0]}
        ticket = ticket_for(model)
        masked, pruned = masked_and_pruned(model, ticket)
        for batch in batches(name, dtype):
            try:
                dense = outputs(model, batch)
            except IndexError as error:
                found["remark"] = f"transformers itself takes one sequence at a time ({error})"
                batch = {key: value[:1] for key, value in batch.items()}
                dense = outputs(model, batch)
            of_masked = outputs(masked, batch)
            if relative_difference(dense, of_masked) < 1e-3:
                raise ValueError(f"masking {name} changes nothing, so that nothing can be learnt of it")
            keep_largest(found["outputs"], dtype_name, relative_difference(of_masked, outputs(pruned, batch)))
            if kernel != "flex_attention":  # has no backward pass on a CPU
                keep_largest(found["gradients"], dtype_name, gradient_difference(model, ticket, batch))
    return found


def five_times(name: str) -> float:
    """Largest relative difference while a model is pruned five times, each time from the model as it is."""
    return max(difference for difference, _ in prune_repeatedly(build(name), inputs(name)))


def batches(name: str, dtype: torch.dtype = torch.float32) -> list[dict[str, Any]]:
    """Inputs with an attention mask that hides something, and without one, where the family takes text."""
    padded, plain = inputs(name, dtype), inputs(name, dtype, masked=False)
    return [padded, plain] if "attention_mask" in padded else [plain]


def keep_largest(found: dict[str, float], key: str, value: float) -> None:
    found[key] = max(found.get(key, 0.0), value)
