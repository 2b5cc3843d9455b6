"""Whether a config claims a larger model than the weights beside it hold: what is built is as large as it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from earlybird.checkpoint.built_parts import on_meta_up_to
from earlybird.checkpoint.quantizer import PrunedConfig, resize
from earlybird.errors import InputError

# Positions beyond the weights' own number cost nothing where they are rotated rather than learnt.
_LARGEST_COUNT = 1 << 20
# Real models have at most four modules and parameters for each of their tensors.
_PARTS_PER_TENSOR = 20
_FEWEST_PARTS = 10_000


def refuse_larger_than_weights(architecture: type[PreTrainedModel], directory: Path, config: dict[str, Any]) -> None:
    """Refuse a config whose model would have more parameters than the safetensors files of its directory.

    Looks at the numbers first, then builds the model without memory, as far as the weights have tensors for it.

    Args:
        architecture: the class that will be loaded.
        directory: holds the files.
        config: what config.json says.

    Raises:
        InputError: the config claims too much, or the index of the files names one that lies elsewhere.
    """
    if any(not (directory / name).is_file() for name in _shards(directory)):
        return  # transformers names the missing file before it builds anything
    tensors = elements = 0
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                tensors += 1
                elements += torch.Size(file.get_slice(name).get_shape()).numel()
    for key, number in numbers_in(config):
        # Configs make lists as long as there are layers, before there is any layer to be counted.
        if number > (_LARGEST_COUNT if "layer" in key else max(elements, _LARGEST_COUNT)):
            raise InputError(
                f"{directory / 'config.json'} claims {key} = {number}, more than the {tensors} tensors of {elements}"
                " numbers beside it can be"
            )
    built = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    with on_meta_up_to(_PARTS_PER_TENSOR * tensors + _FEWEST_PARTS, str(directory / "config.json")):
        model = architecture(built)
    if said := config.get("quantization_config"):
        resize(model, PrunedConfig(**said))
    claimed = sum(parameter.numel() for parameter in model.parameters())
    if claimed > elements:
        raise InputError(
            f"{directory / 'config.json'} claims a model of {claimed} parameters, and the weights beside it hold"
            f" {elements}"
        )


def _shards(directory: Path) -> set[str]:
    """The files that the weights are spread over; none where they are in one."""
    if (directory / SAFE_WEIGHTS_NAME).is_file():
        return set()  # transformers reads this one, whatever an index says
    index = directory / SAFE_WEIGHTS_INDEX_NAME
    names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) if index.is_file() else set()
    for name in names:
        if Path(name).name != name:
            raise InputError(f"{index} names {name!r}, which is no file of its directory")
    return names


def numbers_in(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """The whole numbers anywhere in a config, each with the key that it stands under."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers_in(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers_in(inner, key)
    elif isinstance(value, int):
        yield key, value
