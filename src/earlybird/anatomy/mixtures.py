"""Finds the router that picks among the experts of a mixture, and with it the experts as units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from earlybird.anatomy.blocks import Mixture, MlpBlock, Part
from earlybird.anatomy.paths import below

ROUTER_NAMES = ("gate", "router")
# What a model for causal language counts the experts of its layers by, to balance their load.
COUNTS_IN_MODELS = ("num_experts", "num_local_experts", "n_routed_experts")
_PICKED_NAMES = ("top_k", "num_experts_per_tok", "top_k_experts")
_GROUP_NAMES = ("num_group", "n_group")
_PICKED_GROUP_NAMES = ("topk_group",)
# Of names with "experts" in them, those that count something else: experts per token, shared ones.
_OTHER = ("per_", "shared")
# A router that compares groups does so by the sum of the two best experts of each (DeepSeek V3, arXiv 2412.19437).
_COMPARED_IN_A_GROUP = 2


def mixture_of(modules: Mapping[str, nn.Module], block: MlpBlock) -> Mixture | None:
    """The experts whose neurons a block holds, or None where there is no router beside them that is known.

    The layout is that of transformers: the experts and their router are children of one module, the router is called
    `gate` or `router`, and picks `top_k` by the logits of a projection with one output for every expert.
    """
    owner, _, _ = block.name.rpartition(".")
    router = next((path for name in ROUTER_NAMES if (path := below(owner, name)) in modules), None)
    if not block.experts or router is None:
        return None
    inside = [path for path in modules if path == router or path.startswith(f"{router}.")]
    parts = list(_parts(modules, [block.name], block.experts, of_all=True))
    routed = list(_parts(modules, [owner, *inside], block.experts))
    if not any(part.dim == 0 and _tensor(modules, part).ndim == 2 for part in routed):
        return None
    told = [modules[router], modules[owner], getattr(modules[router], "config", None)]
    picked = _number(told, _PICKED_NAMES)
    if picked is None:
        return None
    groups = _number(told[:2], _GROUP_NAMES)
    least = picked
    if groups is not None:
        compared = _number(told[:2], _PICKED_GROUP_NAMES) or groups
        least = groups * max(_COMPARED_IN_A_GROUP, -(-picked // compared))
    counting = [owner, block.name, *inside]
    return Mixture(
        name=block.name,
        units=block.experts,
        owner=owner,
        router=router,
        picked=picked,
        routing_groups=block.experts if groups in (None, 1) else groups,
        least=least,
        parts=tuple(parts + routed),
        counts=tuple(
            below(path, name) for path in counting for name in counts_of_experts(modules[path], block.experts)
        ),
    )


def counts_of_experts(source: Any, experts: int) -> list[str]:
    """The attributes of a module or a config that say how many experts there are, by their names and what they say."""
    return [
        name
        for name, value in vars(source).items()
        if type(value) is int and value == experts and "experts" in name and not any(part in name for part in _OTHER)
    ]


def _parts(
    modules: Mapping[str, nn.Module], paths: Sequence[str], experts: int, *, of_all: bool = False
) -> Iterator[Part]:
    """Of the tensors that modules have themselves, those with an entry for each expert.

    Args:
        modules: of the model, by path.
        paths: of those whose tensors are wanted.
        experts: how many there are.
        of_all: whether each tensor must have one.
    """
    for path in paths:
        module = modules[path]
        own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
        for name, tensor in own.items():
            dims = [dim for dim in (0, tensor.ndim - 1) if tensor.ndim and tensor.shape[dim] == experts]
            # A scale of the features is none of the experts where there are equally many.
            if not of_all and tensor.ndim == 1 and not any(word in name for word in ("expert", "bias")):
                continue
            if dims and (of_all or tensor.ndim < 3):
                yield Part(below(path, name), dims[0], np.arange(experts))


def _tensor(modules: Mapping[str, nn.Module], part: Part) -> Tensor:
    path, _, name = part.parameter.rpartition(".")
    tensor: Tensor = getattr(modules[path], name)
    return tensor


def _number(told: Sequence[Any], names: Sequence[str]) -> int | None:
    """The first whole number of these names that a module or config says."""
    for source in told:
        for name in names:
            value = getattr(source, name, None)
            if type(value) is int and value > 0:
                return value
    return None
