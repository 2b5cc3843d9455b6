"""A mark in config.json by which transformers alone loads nothing, whatever sizes it is told to ignore.

Without earlybird transformers only warns of a shape that it does not know, and then fails because the weights do not
fit. With `ignore_mismatched_sizes=True` it would draw the pruned layers anew. So config.json of a pruned model names
for its weights what is no file; transformers refuses that and quotes it. The quantizer takes the mark off before
transformers looks for the weights (see `earlybird.checkpoint.quantizer`).

While the files of a model move into their directory, a config.json with a mark stands in for the one to come. Without
any, a class of transformers would take the sizes that it has by default.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from earlybird.surgery.pruned_shape import is_ours

# Where transformers looks for the name of the weights' file. Its `save_pretrained` leaves the field out.
FIELD = "transformers_weights"
_BEGINNING = "earlybird "
_PRUNED = f"{_BEGINNING}pruned this model: put `import earlybird` before from_pretrained"
# The export's, which nothing takes off.
PER_LAYER = f"{_BEGINNING}wrote the shape of each layer into per_layer_config, which transformers' models do not read"
# Of a save that is not at its end. Later versions know it by these words.
INTERIM = f"{_BEGINNING}was stopped while it saved this model: earlybird.load(DIRECTORY) finishes that"


def mark(directory: Path) -> None:
    """Mark the config.json of a directory, wherever it holds a pruned shape that its own fields cannot say."""
    path = directory / "config.json"
    config = _marked(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _marked(config: dict[str, Any]) -> dict[str, Any]:
    """A config with marks, in the configs inside, too: the model of a part (CLIP's text model) reads that alone."""
    inside = {key: _marked(value) if isinstance(value, dict) else value for key, value in config.items()}
    return inside | {FIELD: _PRUNED} if is_ours(config.get("quantization_config")) else inside


def write_interim(config: Path, path: Path) -> None:
    """Write what stands in for a config.json, so that loading ends in an error that says why."""
    said = json.loads(config.read_text(encoding="utf-8"))
    kept = {key: said[key] for key in ("architectures", "model_type") if key in said}
    path.write_text(json.dumps(kept | {FIELD: INTERIM}, indent=2) + "\n", encoding="utf-8")


def is_interim(path: Path) -> bool:
    """Whether a config.json stands in for one to come."""
    try:
        return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get(FIELD) == INTERIM
    except (AttributeError, RecursionError, ValueError):
        return False


def is_mark(value: Any) -> bool:
    """Whether what a config says of the weights' file is a mark, of this version or of another."""
    return isinstance(value, str) and value.startswith(_BEGINNING)
