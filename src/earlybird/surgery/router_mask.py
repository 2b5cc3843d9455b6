"""A router that passes over the experts that are pruned: their logits are minus infinity, however it compares them.

No weight of a router says that: a row of zeros gives a logit of 0, which can be the best one. So the router computes by
a class of its own for as long as it is masked, and all its tensors stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from earlybird.anatomy.blocks import Mixture
from earlybird.errors import InputError


class MaskedRouter(nn.Module):
    """In front of a router's own class: experts that are gone are not picked.

    Attributes:
        gone: (experts,) bool.
    """

    gone: Tensor

    # The router's own arguments are not known here.
    def forward(self, *arguments: Any, **named: Any) -> Any:
        """What the router gives with minus infinity for the logits, and the biases of the choice, of experts gone.

        Raises:
            InputError: no projection with a logit for each expert was seen.
        """
        # Compiled code breaks on such a mode. Whoever compiles has imported the compiler, which takes seconds, already.
        run: Any = self._run
        if torch.compiler.is_compiling():
            run = torch.compiler.disable(run)  # type: ignore[no-untyped-call]
        return run(*arguments, **named)

    def _run(self, *arguments: Any, **named: Any) -> Any:
        with _MaskedLogits(self.gone) as mask, self._masked_biases():
            result = super().forward(
                *(self._without(each) for each in arguments),
                **{name: self._without(each) for name, each in named.items()},
            )
        if not mask.seen:
            raise InputError(
                f"{type(self).__mro__[2].__name__} compares experts in a way that earlybird does not know, so that it"
                " cannot pass over some: leave the experts whole"
            )
        return result

    def _without(self, argument: Any) -> Any:
        """A bias of the choice as an argument, if it is one, masked."""
        return _masked(argument, self.gone) if isinstance(argument, Tensor) and argument.ndim == 1 else argument

    @contextmanager
    def _masked_biases(self) -> Iterator[None]:
        """The biases that the router adds to what it compares, masked for the time being; its logits are already."""
        shadowed = []
        for module in self.modules():
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                if tensor is not None and name != "bias" and "bias" in name:
                    # An attribute of the instance goes before a parameter or buffer.
                    module.__dict__[name] = _masked(tensor, self.gone)
                    shadowed.append((module, name))
        try:
            yield
        finally:
            for module, name in shadowed:
                module.__dict__.pop(name, None)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, or what is read from a file, is of the same class, which no module holds."""
        return _unmade, (type(self).__mro__[2],), self.__dict__


class _MaskedLogits(TorchFunctionMode):
    """While it is entered, projections with an output for each expert give minus infinity for those that go."""

    def __init__(self, gone: Tensor) -> None:
        super().__init__()
        self._gone = gone
        self.seen = False

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is functional.linear and result.shape[-1] == len(self._gone):
            self.seen = True
            return _masked(result, self._gone)
        return result


def mask_router(model: nn.Module, mixture: Mixture, mask: NDArray[np.bool_]) -> Callable[[], None]:
    """Let a router pass over experts; returns what undoes that. A router masked before passes over both.

    Args:
        model: that the mixture is of.
        mixture: whose router it is.
        mask: (experts,), True = kept.
    """
    router = model.get_submodule(mixture.router)
    before: Any = type(router)
    gone = torch.from_numpy(~mask)
    if isinstance(router, MaskedRouter):
        earlier = router.gone
        router.gone = earlier | gone

        def undo() -> None:
            router.gone = earlier

        return undo
    router.__class__ = _masked_class(before)
    router.__dict__["gone"] = gone

    def put_back() -> None:
        router.__class__ = before
        del router.__dict__["gone"]

    return put_back


def keep_of_mask(router: MaskedRouter, kept: NDArray[np.int64]) -> Callable[[], None]:
    """Let a router's mask be that of the experts kept, (kept,) int64; returns what undoes that.

    One that passes over none of them is as it was before it was masked.
    """
    masked, gone = type(router), router.gone
    left = gone[torch.from_numpy(kept)]
    if left.any():
        router.gone = left
    else:
        router.__class__ = masked.__mro__[2]
        del router.__dict__["gone"]

    def undo() -> None:
        router.__class__ = masked
        router.__dict__["gone"] = gone

    return undo


def refuse_masked_routers(model: nn.Module) -> None:
    """Raise InputError if a router passes over experts, which no file can hold."""
    for name, module in model.named_modules():
        if isinstance(module, MaskedRouter):
            raise InputError(
                f"{name} passes over experts by apply_mask, which no file holds: save what prune(model, ticket) gives"
            )


@cache
def _masked_class(router: Any) -> type[nn.Module]:
    """The class in front of a router's own; one for all of its modules."""
    return type(f"Masked{router.__name__}", (MaskedRouter, router), {})


def _unmade(router: Any) -> nn.Module:
    """A masked router without content."""
    made = _masked_class(router)
    return made.__new__(made)


def _masked(tensor: Tensor, gone: Tensor) -> Tensor:
    """A tensor (..., experts) with minus infinity where experts go; any other as it is."""
    if not tensor.is_floating_point() or tensor.shape[-1] != len(gone):
        return tensor
    return tensor.masked_fill(gone.to(tensor.device), -torch.inf)
