"""A router that passes over the experts that are pruned: their logits are minus infinity, however it compares them.

No weight of a router says that: a row of zeros gives a logit of 0, which can be the best one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from earlybird.anatomy.blocks import Mixture


class _MaskedLogits(TorchFunctionMode):
    """While it is entered, projections with an output for each expert give minus infinity for those that go."""

    def __init__(self, gone: Tensor) -> None:
        super().__init__()
        self._gone = gone

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is functional.linear and result.shape[-1] == len(self._gone):
            return result.masked_fill(self._gone.to(result.device), -torch.inf)
        return result


class _EnterMask:
    """Forward pre-hook of a router."""

    def __init__(self, gone: Tensor) -> None:
        self.gone = gone
        self.entered: list[ExitStack] = []

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        stack = ExitStack()
        stack.enter_context(_MaskedLogits(self.gone))
        self.entered.append(stack)


class _LeaveMask:
    """Forward hook of a router, also after an error."""

    def __init__(self, entering: _EnterMask) -> None:
        self.entering = entering

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if self.entering.entered:
            self.entering.entered.pop().close()


def mask_router(model: nn.Module, mixture: Mixture, mask: NDArray[np.bool_]) -> list[Callable[[], None]]:
    """Let a router pass over experts, its weights untouched; returns what undoes that.

    Args:
        model: that the mixture is of.
        mixture: whose router it is.
        mask: (experts,), True = kept.
    """
    router = model.get_submodule(mixture.router)
    gone = torch.from_numpy(~mask)
    entering = _EnterMask(gone)
    handles: list[RemovableHandle] = [
        router.register_forward_pre_hook(entering),
        router.register_forward_hook(_LeaveMask(entering), always_call=True),
    ]
    undo: list[Callable[[], None]] = [handle.remove for handle in handles]
    for part in mixture.parts:
        path, _, name = part.parameter.rpartition(".")
        # Added to scores between 0 and 1 before the router compares them, and to the logits of others.
        if path == mixture.name or "bias" not in name:
            continue
        bias = getattr(model.get_submodule(path), name)
        before = bias.detach().clone()
        places = gone.to(bias.device).expand_as(bias)
        with torch.no_grad():
            bias.masked_fill_(places, -torch.inf)
        undo.append(partial(_put_back, bias, before))
    return undo


def _put_back(tensor: Tensor, values: Tensor) -> None:
    with torch.no_grad():
        tensor.copy_(values)
