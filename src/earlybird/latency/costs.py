"""What the units of a model cost in the measure of a budget: counted, or measured on this machine."""

from __future__ import annotations

import logging
from typing import Any

import transformers
from torch import nn

from earlybird.anatomy import Anatomy
from earlybird.anatomy.distributed import by_the_first
from earlybird.anatomy.wrappers import unwrapped
from earlybird.config import PruningConfig
from earlybird.errors import InputError
from earlybird.latency.machine import machine
from earlybird.latency.measure import example_batch, measured
from earlybird.latency.table import prepare_directory, read_table, table_path, write_table
from earlybird.masks import UnitCosts

_log = logging.getLogger(__name__)


def unit_costs(model: nn.Module, anatomy: Anatomy, config: PruningConfig) -> UnitCosts:
    """What each unit costs, by the measure of a config's budget.

    Milliseconds are those of a forward pass in evaluation mode, of the model as it is on its device and in its dtype.
    The first time a shape is asked for they are measured, which takes some hundreds of forward passes, of small models
    some thousands. The table is kept in the user's cache directory, for this machine alone. Of several processes the
    first measures, and the others read its table: they have to be on equal machines with one cache directory.

    Args:
        model: that the anatomy is of.
        anatomy: of the blocks that may be pruned.
        config: with a budget.

    Raises:
        InputError: there is no budget, what it counts cannot be counted or measured, the cache directory cannot be
            written to, or a table that was kept is damaged.
    """
    if config.budget is None:
        raise InputError("there is no budget that says what units cost: give flops=, parameters= or milliseconds=")
    measure, _ = config.budget
    if measure != "milliseconds":
        return anatomy.unit_costs(measure, config.tokens)
    if anatomy.expert_groups is not None:
        raise InputError(
            "the milliseconds of a mixture depend on which experts its tokens go to: give a budget of flops or of"
            ' parameters, or leave the experts alone, exclude=["*experts*"]'
        )
    assert config.examples is not None
    inner = unwrapped(model)
    weights = next(inner.parameters())
    if weights.is_meta:
        raise InputError("a model on the meta device takes no time: give it its weights, or a budget of FLOPs")
    what: dict[str, Any] = {
        "model": anatomy.model,
        "blocks": anatomy.fingerprint,
        "parameters": sum(parameter.numel() for parameter in inner.parameters()),
        "dtype": str(weights.dtype),
        "attention": str(getattr(getattr(inner, "config", None), "_attn_implementation", None)),
        "transformers": transformers.__version__,
        "tokens": config.tokens,
        "examples": config.examples,
        "inputs": {
            name: list(value.shape) for name, value in example_batch(inner, config.tokens, config.examples).items()
        },
        "round_to": config.round_to,
        "kv_groups": config.kv_groups,
    }
    where = machine(weights.device)
    path = table_path(where, what)

    def measure_once() -> None:
        if not path.exists():
            prepare_directory(path)
            _log.info("measuring a forward pass of %s by the widths of its blocks, once, into %s", anatomy.model, path)
            write_table(path, where, what, measured(inner, anatomy, config))

    by_the_first(measure_once)
    return read_table(path, where, what)
