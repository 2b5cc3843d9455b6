"""What is put around a model or one of its modules: torch.compile, DDP, and PEFT's adapters.

PEFT is not imported here: a wrapper of theirs can only be there where they have been imported already.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from earlybird.errors import InputError

_COMPILED = "_orig_mod"


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, inside what wraps it whole: its modules have the names that they have without wrapper.

    Raises:
        InputError: it is no module; one inside it was replaced by a compiled one, which renames all below it; PEFT puts
            learned prompts before its inputs.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module, got {reprlib.repr(model)}: load it first")
    peft: Any = sys.modules.get("peft")
    while True:
        if _COMPILED in model._modules:
            model = model.get_submodule(_COMPILED)
        elif isinstance(model, DistributedDataParallel):
            model = model.module
        elif peft is not None and isinstance(model, peft.PeftModel):
            if model.active_peft_config.is_prompt_learning:
                raise InputError(
                    f"the model has {model.active_peft_config.peft_type.value} prompts of PEFT on it, and of adapters"
                    " only LoRA is known: search and prune the model itself, model.get_base_model()"
                )
            model = model.get_base_model()
        else:
            break
    for name, module in model.named_modules():
        if _COMPILED in module._modules:
            raise InputError(
                f"{name} was replaced by torch.compile({name}), which renames what is in it: compile it in place,"
                f" {name}.compile(), or compile the whole model"
            )
    return model


def called(model: nn.Module) -> nn.Module:
    """The module that is called with the arguments of the model itself: the model, or PEFT's tuner around it.

    PEFT before 0.21 runs the forward pass of the model inside without calling it, so that none of its hooks is run.

    Raises:
        InputError: see `unwrapped`.
    """
    inner, tuners = unwrapped(model), sys.modules.get("peft.tuners.tuners_utils")
    if tuners is None:
        return inner
    around = (module for module in model.modules() if isinstance(module, tuners.BaseTuner) and module.model is inner)
    return next(around, inner)


def forget_compiled_code() -> None:
    """Let compiled code be compiled anew, wherever it is: by default it does not notice that hooks came or went.

    (`torch._dynamo.config.skip_nnmodule_hook_guards`.) Code that has nothing to do with the model is compiled
    anew too, which costs time and changes nothing.
    """
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


def is_adapted(module: nn.Module) -> bool:
    """Whether a module is an adapter around another one."""
    return "base_layer" in module._modules


def is_lora(module: nn.Module) -> bool:
    """Whether a module is PEFT's LoRA around a linear one: base(x) + scaling B(A(dropout(x))), and nothing else.

    Its variants (DoRA's magnitudes, say) do more than that, and so do layers for quantized weights.
    """
    layers: Any = sys.modules.get("peft.tuners.lora.layer")
    return layers is not None and type(module) is layers.Linear and not module.lora_variant


def lora_matrices(layer: nn.Module, which: str) -> Iterator[tuple[str, nn.Linear]]:
    """Name below a LoRA layer, and module, of each adapter's matrix: "lora_A" (from inputs), "lora_B" (to outputs)."""
    for name, matrix in layer.get_submodule(which).named_children():
        assert isinstance(matrix, nn.Linear)
        yield f"{which}.{name}", matrix
