"""The pruned weights beside a config that says the shape of each layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.integrations.heterogeneity import AmbiguousGlobalPerLayerAttributeError
from transformers.utils import CONFIG_NAME

from earlybird.anatomy import Anatomy, GoneBlock
from earlybird.anatomy.config_fields import CannotSayError
from earlybird.checkpoint import load_mark
from earlybird.checkpoint.model_files import Processor, moved_in_together
from earlybird.errors import InputError, first_line
from earlybird.exports.foreign import refuse_own_mathematics
from earlybird.surgery.plain_config import built, dense_config, fields_of, neuron_field, neurons_of_each

# Some families' configs read fields when they are made, to validate them. With this, they get the dense value.
_READ_AT_ONCE = "allow_global_per_layer_attribute_access"


def write_per_layer_config(model: PreTrainedModel, directory: Path, processor: Processor | None = None) -> None:
    """Save a pruned model's weights, and its config with `per_layer_config`, which transformers' models refuse.

    A processor is saved along.

    Raises:
        InputError: a layer holds two blocks of one kind, the config has no field for a kind that was pruned, or
            transformers does not read what would be written. Nothing is written then.
    """
    refuse_own_mathematics(model)
    config = dense_config(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = model.dtype
    dense = built(model, config)
    if own := sorted(model.state_dict().keys() - dense.state_dict().keys()):
        raise InputError(
            f"per-layer-config cannot describe {type(model).__name__}: {own[0]} came with the heads kept, and no field"
            " says it"
        )
    layers = layer_fields(model, Anatomy.of(dense), config)
    # Beside the config, not in it: with it, transformers refuses to write some families'.
    content = {**json.loads(config.to_json_string()), "per_layer_config": layers}
    if layers:
        content[load_mark.FIELD] = load_mark.PER_LAYER
    content = _readable(content, model)
    # Of a sublayer that is left out nothing is read.
    weights = {name: value for name, value in model.state_dict().items() if value.numel()}
    with moved_in_together(directory, processor) as aside:
        model.save_pretrained(aside, state_dict=weights)
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


def layer_fields(model: PreTrainedModel, dense: Anatomy, config: PreTrainedConfig) -> dict[int, dict[str, Any]]:
    """Layer -> field -> value, of the kinds that were pruned: {0: {"intermediate_size": 57}, ...}.

    Args:
        model: pruned.
        dense: anatomy of the model before.
        config: of the model before.
    """
    anatomy = Anatomy.of(model)
    layers: dict[int, dict[str, Any]] = {}
    pruned = [kind for kind, units in dense.units.items() if units != anatomy.units.get(kind)]
    if "neurons" in pruned and neurons_of_each(anatomy) == neurons_of_each(dense):
        pruned.remove("neurons")  # they went with their experts
    if "neurons" in pruned and len({block.experts > 0 for block in anatomy.mlp}) > 1:
        raise InputError(
            f"per-layer-config cannot describe {type(model).__name__}: its fields do not tell the neurons of its"
            " experts from those of its other MLPs"
        )
    try:
        for kind in pruned:
            before = dict(zip(dense.names[kind], dense.units[kind], strict=True))
            for block in anatomy.of_kind(kind):
                said = fields_of(config, block, anatomy, before[block.name])
                _add(layers, _layer(model, block.name), dict(said))
        for left in anatomy.gone:
            _add(layers, _layer(model, left.name), _left_out(model, left))
    except CannotSayError as error:
        raise InputError(f"per-layer-config cannot describe {type(model).__name__}: {error}") from error
    return layers


def _layer(model: PreTrainedModel, block: str) -> int:
    """The number of the layer that a block lies in."""
    numbers = [int(part) for part in block.split(".") if part.isdigit()]
    # An encoder and a decoder each count their layers from 0.
    one_row = hasattr(model.config, "num_hidden_layers") and not model.config.is_encoder_decoder
    if len(numbers) != 1 or not one_row:
        raise InputError(f"{block} does not lie in one of a row of layers, which per-layer-config describes")
    return numbers[0]


def _add(layers: dict[int, dict[str, Any]], layer: int, fields: Mapping[str, Any]) -> None:
    of_layer = layers.setdefault(layer, {})
    for field, value in fields.items():
        if field == "skip":
            of_layer[field] = sorted({*of_layer.get(field, ()), *value})
        elif field in of_layer:
            raise InputError(f"layer {layer} holds two blocks of one kind: per-layer-config says one")
        else:
            of_layer[field] = value


def _left_out(model: PreTrainedModel, block: GoneBlock) -> dict[str, Any]:
    """The field that leaves a block out that has lost its last unit.

    Raises:
        CannotSayError: an attention whose output projection has a bias, which would be left out along.
    """
    output: Any = model.get_submodule(block.projections[-1])
    if output.bias is None:
        return {"skip": ["attention" if block.kind == "heads" else "mlp"]}
    if block.kind == "neurons":
        return {neuron_field(model.config, block.name): 0}
    raise CannotSayError(
        f"{block.name} has no heads left, and the bias of its output projection stays, which `skip` leaves out"
    )
