"""The Hugging Face models in a module: itself, or what a wrapper, an own class or a composite holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from earlybird.anatomy.paths import is_in

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def outermost_models(module: nn.Module) -> dict[str, PreTrainedModel]:
    """Path -> Hugging Face model ("" for the module itself), of those that no other one holds."""
    # Imported late: transformers imports the quantizer, and so the anatomy, while it is imported itself.
    from transformers import PreTrainedModel

    found: dict[str, PreTrainedModel] = {}
    for path, part in module.named_modules():
        if isinstance(part, PreTrainedModel) and not any(is_in(path, other) for other in found):
            found[path] = part
    return found


def models_with_own_config(model: PreTrainedModel) -> list[PreTrainedModel]:
    """A Hugging Face model, and those in it that have another config than what holds them, from the outside inwards."""
    from transformers import PreTrainedModel

    found: dict[int, PreTrainedModel] = {}
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            found.setdefault(id(part.config), part)
    return list(found.values())
