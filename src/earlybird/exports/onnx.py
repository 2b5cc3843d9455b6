"""A pruned model as an ONNX graph: from token ids or images to its outputs, without a cache of keys and values."""

from __future__ import annotations

import contextlib
import io
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from earlybird.errors import InputError, first_line
from earlybird.extras import require

FILE = "model.onnx"
_PACKAGES = ("onnx", "onnxscript")


def write_onnx(model: PreTrainedModel, directory: Path) -> None:
    """Write model.onnx: inputs and outputs are called as in transformers, batch and sequence may have any size.

    Raises:
        InputError: the extra is not installed, the model is an encoder-decoder or takes other inputs than token ids or
            images, torch cannot write it, or its weights are bfloat16, for which ONNX lacks operators.
    """
    if model.dtype not in (torch.float32, torch.float16):
        dtype = str(model.dtype).removeprefix("torch.")
        raise InputError(
            f"format=onnx takes weights in float32 or float16, those of the model are {dtype}: export model.float(), or"
            " earlybird.load(MODEL, dtype=torch.float32)"
        )
    for package in _PACKAGES:
        require(package, extra="onnx", what="format=onnx")
    inputs: dict[str, Any] = _example(model)
    dynamic = torch.export.Dim.DYNAMIC
    shapes: dict[str, Any] = {
        name: {0: dynamic, 1: dynamic} if value.ndim == 2 else {0: dynamic} for name, value in inputs.items()
    }
    if "use_cache" in signature(model.forward).parameters:
        inputs["use_cache"], shapes["use_cache"] = False, None
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            names = [name for name, value in model(**inputs).items() if isinstance(value, torch.Tensor)]
            program = torch.onnx.export(
                model, (), kwargs=inputs, dynamo=True, dynamic_shapes=shapes, output_names=names, verbose=False
            )
            assert program is not None
            directory.mkdir(parents=True, exist_ok=True)
            program.save(directory / FILE)
    except torch.onnx.OnnxExporterError as error:
        raise InputError(_refusal(model, error)) from error
    finally:
        model.train(training)


def _refusal(model: PreTrainedModel, error: Exception) -> str:
    """What torch's exporter does not take, and a way out for a mixture of experts."""
    # The exporter's own errors are advice to developers; the first one says what is wrong.
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    told = f"torch cannot write {type(model).__name__} as ONNX: {first_line(error)}"
    if "grouped_mm" in told:
        told += '; call model.set_experts_implementation("batched_mm") before'
    return told


def _example(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Inputs to trace the model with: a batch of two."""
    config: Any = model.config
    name = model.main_input_name
    if name == "pixel_values" and isinstance(getattr(config, "image_size", None), int):
        shape = (2, config.num_channels, config.image_size, config.image_size)
        return {name: torch.zeros(shape, dtype=model.dtype, device=model.device)}
    # A config of several parts is one of a model that takes text and images together.
    if name == "input_ids" and not config.is_encoder_decoder and config.get_text_config() is config:
        ids = torch.ones((2, 8), dtype=torch.long, device=model.device)
        inputs = {name: ids, "attention_mask": torch.ones_like(ids)}
        # Without them a pair of sentences would be taken for one.
        if getattr(config, "type_vocab_size", 0) > 1 and "token_type_ids" in signature(model.forward).parameters:
            inputs["token_type_ids"] = torch.zeros_like(ids)
        return inputs
    raise InputError(
        f"format=onnx takes encoders and decoders of token ids alone or images alone, {type(model).__name__} is another"
    )
