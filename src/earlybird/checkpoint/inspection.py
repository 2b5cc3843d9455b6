"""What a model consists of and costs: blocks, units, parameters, FLOPs, before and after pruning."""

from __future__ import annotations

import copy
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from earlybird.anatomy import Anatomy
from earlybird.anatomy.example import example_inputs
from earlybird.anatomy.flops import forward_flops, parameter_count
from earlybird.checkpoint.built_parts import on_meta_up_to
from earlybird.checkpoint.claimed_size import numbers_in
from earlybird.checkpoint.foreign_code import refuse_kernels
from earlybird.checkpoint.load import load
from earlybird.checkpoint.model_files import finish_interrupted
from earlybird.checkpoint.no_model import refuse_no_place, why_no_model
from earlybird.checkpoint.quantizer import PrunedConfig, resize
from earlybird.config import PruningConfig
from earlybird.errors import InputError, first_line
from earlybird.latency import unit_costs
from earlybird.surgery.prune import prune
from earlybird.surgery.pruned_shape import is_ours
from earlybird.ticket import Ticket
from earlybird.vocabulary import KINDS, Measure

# Twenty times those of the deepest models; each is built, if without weights.
_MOST_LAYERS = 3000
_COUNTS_OF_LAYERS = ("layers", "n_layer", "depth", "depths")
_MOST_TIMED = 1_000_000_000
MOST_PARTS = 500_000  # modules and parameters; Switch's, with 2,048 experts a layer, are 431,017


@dataclass(frozen=True)
class Cost:
    """Parameters, and FLOPs of one forward pass of one example; None where it cannot be run on shapes alone."""

    parameters: int
    flops: int | None


@dataclass(frozen=True)
class Inspection:
    """A model's anatomy, what it costs, and what it would cost pruned.

    Attributes:
        anatomy: of the model.
        cost: as it is.
        pruned: at the ratios, or None where none was given.
        ratios: what was pruned of each kind.
        budget: what was counted and how much of it was to be left, where that was asked for.
        example: what one example is, for people.
        forward_milliseconds: of a forward pass as it is and pruned, by the table, where that was asked for.
    """

    anatomy: Anatomy
    cost: Cost
    pruned: Cost | None
    ratios: dict[str, float]
    budget: tuple[Measure, float] | None
    example: str
    forward_milliseconds: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        attention = [
            {"name": b.name, "units": b.units, "unit_size": b.unit_size, "key_value_groups": b.groups}
            for b in self.anatomy.attention
        ]
        return {
            "model": self.anatomy.model,
            "attention": attention,
            "mlp": [{"name": b.name, "units": b.units} for b in self.anatomy.mlp],
            "left_out": {left.name: left.reason for left in self.anatomy.left_out},
            "parameters": self.cost.parameters,
            "flops": self.cost.flops,
            "example": self.example,
            "pruned": None
            if self.pruned is None
            else {
                **({} if self.budget is None else {"budget": dict([self.budget])}),
                **self.ratios,
                "parameters": self.pruned.parameters,
                "flops": self.pruned.flops,
            },
            **({} if self.forward_milliseconds is None else {"milliseconds": list(self.forward_milliseconds)}),
        }

    def __str__(self) -> str:
        rows = [str(self.anatomy), self._line("", self.cost)]
        if self.pruned is not None:
            rows.append(self._line(f"{self._amount()}: ", self.pruned))
        if self.forward_milliseconds is not None:
            now, then = self.forward_milliseconds
            rows.append(
                f"a forward pass of these examples takes {now:.4g} milliseconds here; pruned, by the table, {then:.4g}"
            )
        return "\n".join(rows)

    def _amount(self) -> str:
        if self.budget is None:
            return "without " + ", ".join(f"{ratio:.0%} of the {kind}" for kind, ratio in self.ratios.items())
        measure, share = self.budget
        name = "FLOPs" if measure == "flops" else measure
        amount = f"{share:g} milliseconds" if measure == "milliseconds" else f"{share:.1%} of the blocks' {name}"
        pruned = " and ".join(f"{ratio:.1%} of the {kind}" for kind, ratio in self.ratios.items())
        return f"at {amount}, for example without {pruned}, chosen randomly"

    def _line(self, before: str, cost: Cost) -> str:
        share = "" if cost is self.cost else f" ({cost.parameters / self.cost.parameters:.1%})"
        line = f"{before}{cost.parameters:,} parameters{share}"
        if cost.flops is None or self.cost.flops is None:
            return line
        share = "" if cost is self.cost else f" ({cost.flops / self.cost.flops:.1%})"
        return f"{line}, {cost.flops:,} FLOPs{share} for {self.example}"


def inspect_model(name: str, config: PruningConfig | None = None, *, length: int = 128) -> Inspection:
    """Look at a model in a directory (pruned or not), or by its config alone: a file, a directory, on the hub.

    Args:
        name: of a model on the hub, of a directory, or of a config.json.
        config: what is pruned for the second line of costs.
        length: tokens of the example that FLOPs are counted for; at most as many as the model takes.

    Raises:
        InputError: there is no such model, or none whose blocks earlybird knows; or a save to the directory was
            interrupted and cannot be finished there.
    """
    if length < 1:
        raise InputError(f"length must be at least 1, got {length}")
    timed = config is not None and config.milliseconds is not None
    model = _model(name, with_weights=timed)
    anatomy = Anatomy.of(model)
    try:
        example, described = example_inputs(model, length)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"the config at {name} says no size that an input can have: {first_line(error)}") from error
    pruned = milliseconds = None
    ratios: dict[str, float] = {
        kind: getattr(config, kind) for kind in KINDS if getattr(config, kind, None) is not None
    }
    if config is not None and (ratios or config.budget is not None):
        costs = None if config.budget is None else unit_costs(model, anatomy, config)
        ticket = Ticket.random(anatomy, config, costs=costs)
        if costs is not None and timed:
            milliseconds = costs.whole, float(costs.of(ticket.masks))
        if config.budget is not None:
            ratios = {kind: 1 - sum(ticket.kept(kind)) / sum(ticket.units[kind]) for kind in ticket.masks}
        pruned = _cost(prune(copy.deepcopy(model), ticket), example)
    budget = None if config is None else config.budget
    return Inspection(anatomy, _cost(model, example), pruned, ratios, budget, described, milliseconds)


def _model(name: str, *, with_weights: bool) -> PreTrainedModel:
    """The model of a directory; of a config alone on shapes, or with random weights."""
    refuse_no_place(name)
    path = Path(name)
    finish_interrupted(path)
    if path.is_dir() and any(path.glob("*.safetensors")):
        return load(path)
    if path.exists() and path.name != "config.json" and (reason := why_no_model(name)):
        raise InputError(reason)
    try:
        written, _ = PreTrainedConfig.get_config_dict(name)
        refuse_kernels(written, f"the config at {name}")
        # Before transformers reads them: configs make lists as long as there are layers.
        for key, number in numbers_in(written):
            if key.endswith(_COUNTS_OF_LAYERS) and number > _MOST_LAYERS:
                raise InputError(
                    f"the config at {name} claims {key} = {reprlib.repr(number)}, more than {_MOST_LAYERS}"
                )
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except InputError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"there is no model or config at {name}, nor one of that name on the hub: {first_line(error)}"
        ) from error
    except Exception as error:  # a damaged config makes transformers raise nearly anything
        raise InputError(f"the config at {name} is damaged: {first_line(error)}") from error
    try:
        with on_meta_up_to(MOST_PARTS, f"the config at {name}"):
            model = _built(config)
        if with_weights:
            _refuse_too_large(model, name)
            model = _built(config)
        kept = getattr(config, "quantization_config", None)
        if is_ours(kept):
            resize(model, PrunedConfig(**kept))
        return model
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"no model can be built by the config at {name}: {first_line(error)}") from error


def _refuse_too_large(model: PreTrainedModel, name: str) -> None:
    if (parameters := parameter_count(model)) > _MOST_TIMED:
        raise InputError(
            f"the model of the config at {name} has {parameters:,} parameters, too many to make by chance and measure:"
            " save it with its weights, or give a budget of FLOPs"
        )


def _built(config: PreTrainedConfig) -> PreTrainedModel:
    """The model of a config, of transformers' own code."""
    named = getattr(transformers, str(next(iter(config.architectures or ()), "")), None)
    if isinstance(named, type) and issubclass(named, PreTrainedModel):
        return named(config)
    model = AutoModel.from_config(config, trust_remote_code=False)
    assert isinstance(model, PreTrainedModel)
    return model


def _cost(model: PreTrainedModel, example: dict[str, Tensor]) -> Cost:
    try:
        flops = forward_flops(model, example) if example else None
    except Exception:  # some forward passes look at values, of which there are none
        flops = None
    return Cost(parameter_count(model), flops)
