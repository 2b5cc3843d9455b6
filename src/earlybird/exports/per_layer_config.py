"""The pruned weights beside a config that says the shape of each layer."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoConfig, PreTrainedModel
from transformers.integrations.heterogeneity import AmbiguousGlobalPerLayerAttributeError
from transformers.utils import CONFIG_NAME

from earlybird.anatomy import Anatomy, AttentionBlock, MlpBlock
from earlybird.anatomy.config_fields import CannotSayError
from earlybird.checkpoint import load_mark
from earlybird.checkpoint.model_files import moved_in_together
from earlybird.errors import InputError, first_line
from earlybird.exports.foreign import refuse_own_mathematics
from earlybird.surgery.plain_config import built, dense_config, fields_of

# Some families' configs read fields when they are made, to validate them. With this, they get the dense value.
_READ_AT_ONCE = "allow_global_per_layer_attribute_access"


def write_per_layer_config(model: PreTrainedModel, directory: Path) -> None:
    """Save a pruned model's weights, and its config with `per_layer_config`, which transformers' models refuse.

    Raises:
        InputError: a layer holds two blocks of one kind, the config has no field for a kind that was pruned, or
            transformers does not read what would be written. Nothing is written then.
    """
    refuse_own_mathematics(model)
    config = dense_config(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = model.dtype
    layers = layer_fields(model, Anatomy.of(built(model, config)))
    # Beside the config, not in it: with it, transformers refuses to write some families'.
    content = {**json.loads(config.to_json_string()), "per_layer_config": layers}
    if layers:
        content[load_mark.FIELD] = load_mark.PER_LAYER
    content = _readable(content, model)
    with moved_in_together(directory) as aside:
        model.save_pretrained(aside)
        _write(content, aside)


def _readable(content: dict[str, Any], model: PreTrainedModel) -> dict[str, Any]:
    """The content of config.json, so that transformers reads it and finds in every layer what it says.

    Raises:
        InputError: it does not.
    """
    try:
        try:
            config = _read(content)
        except AmbiguousGlobalPerLayerAttributeError:
            content = {**content, _READ_AT_ONCE: True}
            config = _read(content)
        found = {
            layer: {field: getattr(config.per_layer_config[layer], field) for field in fields}
            for layer, fields in content["per_layer_config"].items()
        }
    except Exception as error:  # each family reads in its own way
        raise InputError(
            f"transformers does not read the config that per-layer-config would write of {type(model).__name__}:"
            f" {first_line(error)}"
        ) from error
    if found != content["per_layer_config"] or config.dtype != model.dtype:
        raise InputError(
            f"transformers reads other values from the config that per-layer-config would write of"
            f" {type(model).__name__}: {found} and {config.dtype}, not {content['per_layer_config']} and {model.dtype}"
        )
    return content


def _read(content: dict[str, Any]) -> Any:
    with TemporaryDirectory() as directory:
        _write(content, Path(directory))
        return AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)


def _write(content: dict[str, Any], directory: Path) -> None:
    (directory / CONFIG_NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


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
        # An encoder and a decoder each count their layers from 0.
        one_row = hasattr(model.config, "num_hidden_layers") and not model.config.is_encoder_decoder
        if len(numbers) != 1 or not one_row:
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
