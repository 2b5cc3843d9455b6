"""The pruned weights beside a config that says the shape of each layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from earlybird.anatomy import Anatomy, AttentionBlock, MlpBlock
from earlybird.anatomy.config_fields import CannotSayError
from earlybird.errors import InputError
from earlybird.exports.foreign import refuse_own_mathematics
from earlybird.surgery.plain_config import built, dense_config, fields_of


def write_per_layer_config(model: PreTrainedModel, directory: Path) -> None:
    """Save a pruned model's weights, and its config with `per_layer_config`.

    Raises:
        InputError: a layer holds two blocks of one kind, or the config has no field for a kind that was pruned.
    """
    refuse_own_mathematics(model)
    config = dense_config(model.config)
    config.architectures = [type(model).__name__]
    layers = layer_fields(model, Anatomy.of(built(model, config)))
    model.save_pretrained(directory)
    config.save_pretrained(directory)
    # Into the file, not into the config: with it, transformers refuses to read (and so to write) some families'.
    path = directory / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "per_layer_config": layers}, indent=2) + "\n", encoding="utf-8")


def layer_fields(model: PreTrainedModel, dense: Anatomy) -> dict[int, dict[str, Any]]:
    """Layer -> field -> value, of the kinds that were pruned: {0: {"intermediate_size": 57}, ...}."""
    anatomy = Anatomy.of(model)
    layers: dict[int, dict[str, Any]] = {}
    pruned = {kind for kind, units in anatomy.units.items() if units != dense.units.get(kind)}
    blocks: list[AttentionBlock | MlpBlock] = []
    blocks += anatomy.attention if "heads" in pruned else ()
    blocks += anatomy.mlp if "neurons" in pruned else ()
    for block in blocks:
        numbers = [int(part) for part in block.name.split(".") if part.isdigit()]
        if len(numbers) != 1 or not hasattr(model.config, "num_hidden_layers"):
            raise InputError(f"{block.name} does not lie in one of a row of layers, which per-layer-config describes")
        fields = layers.setdefault(numbers[0], {})
        try:
            for field, value in fields_of(model.config, block, anatomy):
                if field in fields:
                    raise InputError(f"layer {numbers[0]} holds two blocks of one kind: per-layer-config says one")
                fields[field] = value
        except CannotSayError as error:
            raise InputError(f"per-layer-config cannot describe {type(model).__name__}: {error}") from error
    return layers
