"""What must hold for a named family, and does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Largest relative differences that rounding explains.
FLOAT32, BFLOAT16 = 1e-5, 5e-2


def faults(row: dict[str, Any]) -> list[str]:
    """One sentence for each claim that a family's measurements contradict."""
    return list(_faults(row))


def _faults(row: dict[str, Any]) -> Iterator[str]:
    for part in ("generation", "five_times", "saved", "uniform"):
        if isinstance(row[part], dict) and "failed" in row[part]:
            yield f"{part} failed: {row[part]['failed']}"
    for kernel, found in row["kernels"].items():
        if "failed" in found:
            yield f"{kernel} failed: {found['failed']}"
        for of in ("outputs", "gradients"):
            for dtype, difference in found.get(of, {}).items():
                if not difference <= (FLOAT32 if dtype == "float32" else BFLOAT16):
                    yield f"{of} under {kernel} in {dtype} differ by {difference:.1e}"
    for cache, difference in row["generation"].items():
        if isinstance(difference, float) and not difference <= FLOAT32:
            yield f"generation with {cache} cache differs by {difference:.1e}"
    if isinstance(row["five_times"], float) and not row["five_times"] <= FLOAT32:
        yield f"pruned five times it differs by {row['five_times']:.1e}"
    if isinstance(row["saved"], float) and row["saved"] != 0:
        yield f"saved and loaded again it differs by {row['saved']:.1e}"
    for directory, found in row["without_earlybird"].items():
        plain = row["plain_config"] if directory == "pruned" else not row["uniform"].get(directory)
        if plain and found != 0:
            yield f"{directory}: its config should say all to a process without earlybird, and that got {found}"
        if not plain and not isinstance(found, str):
            yield f"{directory}: a process without earlybird loaded it without an error"
