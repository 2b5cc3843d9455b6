"""Load saved models where earlybird cannot be imported; standard input and output are JSON (see saved.py)."""

from __future__ import annotations

import json
import sys

sys.modules["earlybird"] = None  # type: ignore[assignment]  # from here on its import is an error

import torch  # noqa: E402
from families import FAMILIES, inputs  # noqa: E402
from safetensors.torch import load_file  # noqa: E402


def load(directory: str, name: str) -> float | str:
    """Largest absolute difference from the outputs of the model that was saved, or the error."""
    expected = load_file(f"{directory}/answer.st")["answer"]
    try:
        model = FAMILIES[name][0].from_pretrained(directory, attn_implementation="eager")
        with torch.no_grad():
            found = model(**inputs(name))[0]
    except Exception as error:  # what is asked is whether there is one
        return f"{type(error).__name__}: {error}".split("\n")[0][:200]
    return float((found - expected).abs().max()) if found.shape == expected.shape else float("inf")


if __name__ == "__main__":
    print(json.dumps({directory: load(directory, name) for directory, name in json.load(sys.stdin).items()}))
