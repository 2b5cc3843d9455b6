"""Weights that are stored in other numbers than they stand for, of which rows and columns cannot be cut."""

from __future__ import annotations

from torch import Tensor, nn

WAY_OUT = (
    "prune the model as it was before it was quantized, or after model.dequantize() where its method can, then quantize"
    " it anew"
)


def is_quantized(weight: Tensor) -> bool:
    """Whether a weight is packed (bitsandbytes), of 8 bits, or a tensor of another library's kind (torchao).

    A tensor of torch's own kinds, sharded or without storage, is not.
    """
    return not _of_torch(weight) or not weight.is_floating_point() or weight.dtype.itemsize == 1


def quantized_inside(module: nn.Module) -> str | None:
    """What to say of the first module inside one whose weight is quantized, or None."""
    for name, part in module.named_modules():
        weights = [*part.parameters(recurse=False), getattr(part, "weight", None)]
        weight = next(
            (each for each in weights if isinstance(each, Tensor) and each.ndim == 2 and is_quantized(each)), None
        )
        if weight is not None:
            kind = f"{type(part).__module__.partition('.')[0]}'s {type(part).__name__}"
            stored = weight.dtype if _of_torch(weight) else type(weight).__name__
            return f"the weight of {name} ({kind}) is quantized, stored as {stored}: {WAY_OUT}"
    return None


def _of_torch(weight: Tensor) -> bool:
    return type(weight).__module__.partition(".")[0] == "torch"
