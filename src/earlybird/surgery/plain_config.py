"""A pruned shape said by the config's own fields, so that a process without earlybird loads the model.

That takes the same count in every block, and a field for it: the number of neurons in most families, the number
of heads only where the config has a size of heads of its own (Llama, Mistral, Qwen 2, Gemma): elsewhere a head is
the hidden size over the number of heads. Which fields those are is guessed by name and proven by building the
model that the changed config describes, without storage.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from earlybird.anatomy import Anatomy, Block, MlpBlock
from earlybird.anatomy.blocks import Mixture
from earlybird.anatomy.config_fields import CannotSayError, changed, get_field, has_field, parts_of, set_field
from earlybird.anatomy.mixtures import counts_of_experts
from earlybird.errors import InputError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

# Under this name the config keeps what its changed fields said before pruning.
NOTE = "earlybird"
NEURON_FIELDS = (
    "intermediate_size",
    "ffn_dim",
    "encoder_ffn_dim",
    "decoder_ffn_dim",
    "hidden_dim",
    "d_ff",
    "n_inner",
    "ffn_hidden_size",
    "moe_intermediate_size",
)


def say_plainly(model: PreTrainedModel, anatomy: Anatomy) -> None:
    """Change the fields of a model's config so that they say its shape, and note what they said before.

    Raises:
        CannotSayError: they cannot; the config is as it was.
    """
    if type(model).__module__.partition(".")[0] != "transformers":
        raise CannotSayError(f"{type(model).__name__} is not a class of transformers")
    said = built(model, model.config)
    said_anatomy = _anatomy_of(said)
    changes = _changes(model, anatomy, said_anatomy)
    if changes:
        said = built(model, changed(model.config, changes))
        said_anatomy = _anatomy_of(said)
    _prove(said, said_anatomy, model, anatomy)
    before = {path: get_field(model.config, path) for path in changes}
    for path, value in changes.items():
        set_field(model.config, path, value)
    if before:
        noted = getattr(model.config, NOTE, None) or {}
        setattr(model.config, NOTE, {"dense": {**before, **noted.get("dense", {})}})


def _anatomy_of(said: PreTrainedModel) -> Anatomy:
    try:
        return Anatomy.of(said)
    except InputError as error:
        raise CannotSayError(f"the {type(said).__name__} that it describes has no blocks that are known") from error


def dense_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """The config of the model before pruning: without our marks, its changed fields put back.

    Raises:
        CannotSayError: what was noted does not fit the config.
    """
    noted = {
        f"{prefix}{path}": value
        for prefix, part in parts_of(config, "")
        for path, value in (getattr(part, NOTE, None) or {}).get("dense", {}).items()
    }
    dense = changed(config, noted)
    for _, part in parts_of(dense, ""):
        for mark in (NOTE, "quantization_config"):
            if hasattr(part, mark):
                delattr(part, mark)
    return dense


def _changes(model: PreTrainedModel, anatomy: Anatomy, said: Anatomy) -> dict[str, Any]:
    """Path in the config -> value, of all fields that must change for `said` to become the model's anatomy."""
    changes: dict[str, Any] = {}
    if anatomy.gone:
        gone = anatomy.gone[0]
        raise CannotSayError(f"{gone.name} has no {gone.kind} left, which no field of it says")
    if anatomy.names != said.names:
        raise CannotSayError(f"{type(model).__name__} has other blocks than its config says")
    for kind, units in anatomy.units.items():
        if units == said.units[kind] or (kind == "neurons" and neurons_of_each(anatomy) == neurons_of_each(said)):
            continue
        for block, dense in zip(anatomy.of_kind(kind), said.units[kind], strict=True):
            prefix, config = _governing(model, block.name)
            for field, value in fields_of(config, block, anatomy, dense):
                if changes.setdefault(prefix + field, value) != value:
                    raise CannotSayError(f"the blocks keep different numbers of {kind}, and {field} says one for all")
    return {path: value for path, value in changes.items() if get_field(model.config, path) != value}


def neurons_of_each(anatomy: Anatomy) -> list[int]:
    """Neurons of each MLP or expert."""
    return [block.units // (block.experts or 1) for block in anatomy.mlp]


def fields_of(
    config: PreTrainedConfig, block: Block | Mixture, anatomy: Anatomy, dense: int
) -> Iterator[tuple[str, int]]:
    """The fields that speak of a block, and what they must say.

    Args:
        config: that governs it.
        block: as it is now.
        anatomy: that it is of.
        dense: its units by the config as it is.

    Raises:
        CannotSayError: there are none.
    """
    name = type(config).__name__
    if isinstance(block, Mixture):
        fields = counts_of_experts(config, dense)
        if not fields:
            raise CannotSayError(f"{name} has no field for the number of experts")
        yield from ((field, block.units) for field in fields)
        return
    if isinstance(block, MlpBlock):
        if block.experts:
            own = has_field(config, "moe_intermediate_size")
            yield "moe_intermediate_size" if own else neuron_field(config, block.name), block.units // block.experts
            return
        yield neuron_field(config, block.name), block.units
        return
    grouped = has_field(config, "num_key_value_heads")
    if not has_field(config, "num_attention_heads") or not (grouped or has_field(config, "head_dim")):
        raise CannotSayError(
            f"{name} has no field head_dim, so that the size of a head is the hidden size over the number of heads"
        )
    yield "num_attention_heads", block.units
    # Where it says something else, a part of a head (DeepSeek), the sizes have fields of their own.
    if not has_field(config, "head_dim") or config.head_dim in (None, block.unit_size):
        yield "head_dim", block.unit_size
    if grouped:
        groups = anatomy.key_value_groups
        yield "num_key_value_heads", groups[anatomy.attention.index(block)] if groups else block.units


def neuron_field(config: PreTrainedConfig, block: str) -> str:
    """The field that says how many neurons a block has.

    Raises:
        CannotSayError: there is none.
    """
    field = next((f for f in NEURON_FIELDS if has_field(config, f) and _speaks_of(f, block)), None)
    if field is None:
        raise CannotSayError(f"{type(config).__name__} has no field for the number of neurons")
    return field


def _speaks_of(field: str, block: str) -> bool:
    """Whether a field for the encoder or the decoder alone is about the stack that a block is in."""
    stack = field.partition("_")[0]
    return stack not in ("encoder", "decoder") or stack in block.split(".")


def _governing(model: PreTrainedModel, block: str) -> tuple[str, PreTrainedConfig]:
    """The part of the model's config that a block was built from, and the path to it ("" or "text_config.")."""
    path, module = block, model.get_submodule(block)
    parts = {id(part): prefix for prefix, part in parts_of(model.config, "")}
    while True:
        config = getattr(module, "config", None)
        if id(config) in parts:
            assert config is not None
            return parts[id(config)], config
        if not path:
            return "", model.config
        path = path.rpartition(".")[0]
        module = model.get_submodule(path)


def built(model: PreTrainedModel, config: PreTrainedConfig) -> PreTrainedModel:
    """A model of the same class that a config describes, without storage."""
    try:
        with torch.device("meta"):
            return type(model)(copy.deepcopy(config))
    except Exception as error:  # each family breaks in its own way
        raise CannotSayError(f"{type(model).__name__} cannot be built from it: {first_line(error)}") from error


def _prove(said: nn.Module, said_anatomy: Anatomy, model: nn.Module, anatomy: Anatomy) -> None:
    """Raise unless a model has the shapes, the blocks and the plain numbers (a scaling, say) of another."""
    if added := sorted(model.state_dict().keys() - said.state_dict().keys()):
        raise CannotSayError(f"{type(model).__name__} holds {added[0]}, of which its config has nothing to say")
    sizes = [[block.unit_size for block in found.attention] for found in (said_anatomy, anatomy)]
    same = (
        _shapes(said) == _shapes(model)
        and said_anatomy.units == anatomy.units
        and said_anatomy.key_value_groups == anatomy.key_value_groups
        and sizes[0] == sizes[1]
        and _numbers(said) == _numbers(model)
    )
    if not same:
        raise CannotSayError(f"no values of its fields give {type(model).__name__} this shape")


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    # Buffers that are not saved, too: the frequencies of a rotation are as many as a head has features.
    return {name: value.shape for name, value in (*model.state_dict().items(), *model.named_buffers())}


def _numbers(model: nn.Module) -> dict[str, float]:
    return {
        f"{name}.{attribute}": value
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if type(value) is float
    }
