"""Parameters that two modules have in common, and that none of them can have cut or scaled for itself."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from earlybird.anatomy.paths import tensor_at
from earlybird.errors import InputError


def refuse_shared_parameters(model: nn.Module, names: Iterable[str]) -> None:
    """Refuse parameters that are to be pruned while another module holds them, too.

    Raises:
        InputError: one of the named parameters is that of another module as well.
    """
    holders: dict[int, set[tuple[int, str]]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            holders.setdefault(id(parameter), set()).add((id(module), name))
    for name in names:
        if len(holders.get(id(tensor_at(model, name)), ())) > 1:
            raise InputError(
                f"{name} is shared with another module, which pruning would leave with the old shape; untie the two"
                " (give each its own copy), or leave the block out (Anatomy.of(model, exclude=[...]))"
            )
