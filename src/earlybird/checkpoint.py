"""Saving and loading a pruned model the Hugging Face way: config.json and safetensors, nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import transformers
from safetensors import SafetensorError
from transformers import PreTrainedModel

from earlybird.errors import InputError
from earlybird.loading import pruned_config
from earlybird.mean_pooling import MeanPoolingViTForImageClassification


def save(model: PreTrainedModel, directory: str | os.PathLike[str]) -> Path:
    """Write a (pruned) model to a directory that `load` and, after `import earlybird`, `from_pretrained` take.

    Args:
        model: a Hugging Face model, pruned or not.
        directory: made if needed; what it holds of the same names is replaced.

    Returns:
        The directory.
    """
    target = Path(directory)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; give a directory to save to")
    if not isinstance(model, PreTrainedModel):
        raise InputError(f"save needs a Hugging Face model, got {type(model).__name__}; for others save the state dict")
    model.config.quantization_config = pruned_config(model)
    model.save_pretrained(target)
    return target


def load(directory: str | os.PathLike[str], *, dtype: Any = "auto") -> PreTrainedModel:
    """Load what `save` wrote, on the CPU and in evaluation mode.

    Args:
        directory: holds config.json and safetensors files.
        dtype: a torch dtype, or "auto" for the saved one.

    Raises:
        InputError: no model is there, its config is damaged, or its weights are missing or do not fit it.
    """
    source = Path(directory)
    config_file = source / "config.json"
    if not config_file.is_file():
        raise InputError(f"{source} holds no model: there is no config.json in it")
    try:
        architecture = json.loads(config_file.read_text(encoding="utf-8"))["architectures"][0]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"{config_file} is damaged: {error!r}") from error
    try:
        loaded: Any = _class_of(architecture, config_file).from_pretrained(
            source, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, SafetensorError, KeyError, RuntimeError, TypeError) as error:
        raise InputError(f"{source} cannot be loaded: {error}") from error
    model: PreTrainedModel
    model, report = loaded
    wrong = sorted([*report["missing_keys"], *map(str, report["mismatched_keys"]), *report["unexpected_keys"]])
    if wrong:
        raise InputError(f"the weights in {source} do not fit its config: {', '.join(wrong[:4])}")
    return model


def _class_of(architecture: Any, config_file: Path) -> type[PreTrainedModel]:
    ours = {MeanPoolingViTForImageClassification.__name__: MeanPoolingViTForImageClassification}
    found = ours.get(architecture) or getattr(transformers, str(architecture), None)
    if not (isinstance(found, type) and issubclass(found, PreTrainedModel)):
        raise InputError(f"{config_file} names the architecture {architecture!r}, which transformers does not know")
    return found
