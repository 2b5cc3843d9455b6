"""The measurements of all versions of transformers as a page for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HEADER = """\
# The named families, measured

By `make families`, and `make families TRANSFORMERS=5.20.0` for another release of transformers, which is installed in
an environment of its own. Every model is built tiny from its config with large random weights (see
`tests/model/families.py`), and 40% of its heads and neurons are pruned at random. Each number is a largest difference
between the model with those units removed and the same with them masked.

- *heads*, *neurons*: in the model and left. "no" where the kind is not pruned; the remark says why.
- *eager*, *sdpa*, *flex*: outputs in float32 / bfloat16 under that attention implementation, relative to the largest
  output (or to 1), the larger of with and without an attention mask that hides something where the family takes text.
  "-" where transformers has none for the family. FlexAttention is run in inference only, because it has no backward
  pass on a CPU, and uncompiled, because compiling takes minutes a family (`measure.py bert --compile` does it).
- *gradients*: those of the kept weights in float32 / bfloat16, in train mode with dropout 0 (dropout draws other
  numbers for other shapes), over eager and sdpa, masked and not; relative to the largest gradient of the parameter, or
  to a thousandth of the model's largest where that is more.
- *generation*: logits of six greedy tokens after left-padded and unpadded prompts (of encoder-decoders, padded inputs)
  without a cache, with a dynamic and with a static one, against the masked model without a cache; the tokens are equal.
- *five times*: outputs while the model is pruned five times, each time from the model as it is.
- *saved*: outputs after `earlybird.save` and `from_pretrained`.
- *alone*: which kinds of a uniform ticket a process that cannot import earlybird loads with the same outputs. All other
  saved models end in an error there, none loads wrongly; the remark says what the config lacks.
"""

KINDS = ("heads", "neurons")
KERNELS = ("eager", "sdpa", "flex")
COLUMNS = ("family", *KINDS, *KERNELS, "gradients", "generation", "five times", "saved", "alone", "remarks")


def write_table(directory: Path) -> None:
    """README.md from the JSON files beside it, the newest release first."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in directory.glob("transformers-*.json")]
    found.sort(key=lambda said: [int(part) for part in said["transformers"].split(".")], reverse=True)
    sections = [HEADER, *(section(said) for said in found)]
    (directory / "README.md").write_text("\n".join(sections), encoding="utf-8")


def section(said: dict[str, Any]) -> str:
    """One version's table."""
    failed = [f"{row['family']}: {fault}" for row in said["rows"] for fault in row["faults"]]
    lines = [
        f"## transformers {said['transformers']}",
        "",
        f"torch {said['torch']}, Python {said['python']}; {said['machine']}; {said['date']};"
        f" {said['processor_seconds']} seconds of processor.",
        "Not as it must be: " + ("; ".join(failed) if failed else "nothing") + ".",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "| " + " | ".join("---" for _ in COLUMNS) + " |",
    ]
    for row in said["rows"]:
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells(row)) + " |")
    return "\n".join([*lines, ""])


def cells(row: dict[str, Any]) -> list[str]:
    """One family's cells, in the order of the columns."""
    kernels = row["kernels"]
    gradients: dict[str, float] = {}
    for found in kernels.values():
        for dtype, value in found.get("gradients", {}).items():
            gradients[dtype] = max(gradients.get(dtype, 0.0), value)
    alone = [kind for kind, found in row["without_earlybird"].items() if kind != "pruned" and found == 0.0]
    return [
        row["family"],
        *(f"{row['units'][kind][0]} to {row['units'][kind][1]}" if kind in row["units"] else "no" for kind in KINDS),
        *(pair(found.get("outputs", {})) if "failed" not in found else "failed" for found in kernels.values()),
        pair(gradients),
        ", ".join(map(number, row["generation"].values())) or "-",
        number(row["five_times"]),
        number(row["saved"]),
        ", ".join(alone) or "none",
        remarks(row),
    ]


def remarks(row: dict[str, Any]) -> str:
    """What the numbers alone do not say."""
    said = list(row["left_out"])
    if groups := row["key_value_groups"]:
        counted = " and ".join(str(count) for count in sorted(set(groups)))
        said.append(f"{counted} key/value groups a block" if counted != "1" else "one key/value head a block")
    said += [f"{kernel}: {found['remark']}" for kernel, found in row["kernels"].items() if "remark" in found]
    said += [f"{cache} cache: {why}" for cache, why in row["generation"].items() if isinstance(why, str)]
    said += [f"{kind}: {why}" for kind, why in row["uniform"].items() if why]
    return "; ".join(said)


def pair(values: dict[str, float]) -> str:
    return " / ".join(number(value) for value in values.values()) or "-"


def number(value: Any) -> str:
    if not isinstance(value, float):
        return "failed" if isinstance(value, dict) else "-"
    return "0" if value == 0 else f"{value:.0e}"
