"""Adapters of a training (PEFT's LoRA): put on, written beside the model that they are on, and merged into it."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, set_seed

from earlybird.checkpoint.load import load
from earlybird.checkpoint.save import save
from earlybird.errors import InputError, first_line

ADAPTERS = "adapters"


def with_adapters(model: PreTrainedModel, lora: Mapping[str, Any], seed: int) -> Any:
    """A `PeftModel` around a model, whose own weights train no more.

    Args:
        model: that the adapters go on.
        lora: arguments of PEFT's `LoraConfig`; by default on all linear layers.
        seed: that they are drawn by.

    Raises:
        InputError: PEFT finds no module for them.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    set_seed(seed)
    try:
        settings = LoraConfig(**{"target_modules": "all-linear", "task_type": TaskType.CAUSAL_LM, **lora})
        adapted = get_peft_model(model, settings)
    except ValueError as error:
        raise InputError(f"model.lora: PEFT cannot put it on {type(model).__name__}: {first_line(error)}") from error
    if not any(parameter.requires_grad for parameter in adapted.parameters()):
        raise InputError("model.lora: nothing of these adapters trains: leave out inference_mode")
    return adapted


def has_adapters(model: Any) -> bool:
    """Whether a model is a `PeftModel`; without PEFT there is none."""
    peft: Any = sys.modules.get("peft")
    return peft is not None and isinstance(model, peft.PeftModel)


def save_with_adapters(model: Any, directory: Path) -> None:
    """Write a model, as `earlybird.save` does, and below it the adapters on it, if there are any."""
    if not has_adapters(model):
        save(model, directory)
        return
    save(copy.deepcopy(model).unload(), directory)
    write_adapters(model, directory / ADAPTERS)


def write_adapters(model: Any, directory: Path) -> None:
    """Write the adapters on a model alone, in PEFT's own format."""
    model.save_pretrained(str(directory), save_embedding_layers=False)


def load_with_adapters(directory: Path) -> Any:
    """What `save_with_adapters` wrote; the adapters train."""
    model = load(directory)
    if not (directory / ADAPTERS).is_dir():
        return model
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(directory / ADAPTERS), is_trainable=True)


def merged(model: Any) -> PreTrainedModel:
    """The plain model with its adapters added to its weights; one without adapters as it is."""
    plain: PreTrainedModel = model.merge_and_unload() if has_adapters(model) else model
    return plain
