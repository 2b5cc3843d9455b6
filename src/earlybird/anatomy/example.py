"""An example of a model's input on shapes alone, for what is counted by running it."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from earlybird.errors import InputError, first_line


def example_inputs(model: nn.Module, length: int) -> tuple[dict[str, Tensor], str]:
    """One example on the meta device by the model's main input, and what it is; nothing where that is not known."""
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        return {}, ""
    parameters = inspect.signature(model.forward).parameters
    bounds = [_first(model, name) for name in ("max_position_embeddings", "n_positions", "max_target_positions")]
    length = min([length, *(bound for bound in bounds if type(bound) is int and bound > 0)])
    images = _first(model, "num_channels"), _first(model, "image_size")
    made: dict[str, Tensor] = {}
    said = []
    with torch.device("meta"):
        tokens = torch.zeros(1, length, dtype=torch.long)
        if "pixel_values" in parameters and all(images):
            channels, size = images
            height, width = size if isinstance(size, (list, tuple)) else (size, size)
            made["pixel_values"] = torch.zeros(1, channels, height, width)
            said.append(f"an image of {height} x {width}")
        if model.main_input_name == "input_features" and (bins := _first(model, "num_mel_bins")):
            frames = 2 * (_first(model, "max_source_positions") or length)
            made["input_features"] = torch.zeros(1, bins, frames)
            said.append(f"{frames} frames of sound")
        if "input_ids" in parameters and model.main_input_name in ("input_ids", "pixel_values"):
            made["input_ids"] = tokens
        if "decoder_input_ids" in parameters and model.config.is_encoder_decoder:
            made["decoder_input_ids"] = tokens
        if {"input_ids", "decoder_input_ids"} & made.keys():
            said.append(f"{length} tokens")
    return made, " and ".join(said)


def known_example(model: nn.Module, length: int) -> dict[str, Tensor]:
    """One example on the meta device.

    Raises:
        InputError: nothing says what one looks like.
    """
    name = type(model).__name__
    try:
        example, _ = example_inputs(model, length)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"the config of {name} says no size that an input can have ({first_line(error)}); give a budget of"
            " parameters, or ratios"
        ) from error
    if not example:
        raise InputError(
            f"nothing says what an example of {name} looks like, so that its FLOPs cannot be counted, nor its forward"
            " pass be timed; give a budget of parameters, or ratios"
        )
    return example


def _first(model: nn.Module, name: str) -> Any:
    """A setting of the model's config, or of the first part of it that has one."""
    config: Any = model.config
    parts = [config, *(getattr(config, part, None) for part in config.sub_configs)]
    return next((value for part in parts if (value := getattr(part, name, None)) is not None), None)
