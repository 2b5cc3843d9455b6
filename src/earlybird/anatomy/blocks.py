"""What a block is: its units, and which entries of which parameters belong to each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from earlybird.vocabulary import Kind

Counted = Literal["heads", "groups", "ratio", "width", "value width", "group width", "bias shape"]


@dataclass(frozen=True)
class Part:
    """One dimension of a parameter (or buffer) whose entries belong to units.

    Attributes:
        parameter: its path.
        dim: the dimension.
        unit_of: (size of the dimension,) int: the unit that each entry goes with; for an entry that a key/value
            group shares, the number of units plus that of the group. (size of dimension 0, size of the dimension)
            where every slice along dimension 0 has entries of its own, as the experts of a mixture.
    """

    parameter: str
    dim: int
    unit_of: NDArray[np.int64] = field(repr=False, compare=False)

    def shape(self, dimensions: int) -> tuple[int, ...]:
        """The shape in which `unit_of` lies along a parameter of so many dimensions, 1 where it is the same for all."""
        sizes = [1] * dimensions
        sizes[self.dim] = self.unit_of.shape[-1]
        if self.unit_of.ndim == 2:
            sizes[0] = self.unit_of.shape[0]
        return tuple(sizes)


@dataclass(frozen=True)
class Site:
    """Where coefficients can act: the input or output features of a module.

    Attributes:
        path: of the module.
        unit_of: (features,) int: the unit of each feature, -1 for none; of experts (experts, features).
        refusal: why scaling there is not the same as scaling the units, or "".
        parameter: of the module, whose entries are to be scaled: that of experts, which no module has to itself.
    """

    path: str
    unit_of: NDArray[np.int64] = field(repr=False, compare=False)
    refusal: str = ""
    parameter: str = ""


@dataclass(frozen=True)
class HeadCount:
    """An attribute that says how many heads there are, or what follows from it.

    Attributes:
        path: of the module that has it, with its name.
        counted: what it counts.
        in_config: whether it is a field of the module's config instead.
    """

    path: str
    counted: Counted
    in_config: bool = False


@dataclass(frozen=True)
class LeftOut:
    """A block that was found but cannot be pruned, or attention that is not known."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class GoneBlock:
    """A block that has lost its last unit: what is left of it gives the bias of its output projection.

    Attributes:
        name: path of the module that holds it.
        kind: of the units that it had.
        projections: paths of its projections, which are of no size.
        returned: of heads, what its forward pass returns, see `WithoutHeads`.
    """

    name: str
    kind: Kind
    projections: tuple[str, ...]
    returned: int = 0


@dataclass(frozen=True)
class AttentionBlock:
    """The attention of one layer; paths are those of `model.named_modules()`.

    Attributes:
        name: path of the attention module.
        owner: path of the module whose forward pass computes the attention; often the same.
        units: query heads.
        unit_size: features of a head in queries and keys.
        value_size: features of a head in values.
        groups: key/value groups; as many as units where no head shares its keys and values.
        query, key, value, output: paths of the four projections; equal ones are fused.
        head_counts: the attributes that count heads.
        parts: what goes with a head.
        after, before: where coefficients act on softmax output and on the scores before it.
        bias_argument: the argument that brings a bias of the scores with an entry for every head, or "".
        hands_on_bias: whether what comes there was computed by the first block of the stack for its own heads.
        bias_table: path of the table that this first block computed it from, or "".
        norms: paths of the norms over the queries or keys of all heads.
        shared_parts: what all heads need, as such norms do, and what goes with the last of them.
    """

    name: str
    units: int
    unit_size: int
    value_size: int
    groups: int
    query: str
    key: str
    value: str
    output: str
    head_counts: tuple[HeadCount, ...]
    parts: tuple[Part, ...]
    after: Site
    before: Site
    owner: str
    bias_argument: str = ""
    hands_on_bias: bool = False
    bias_table: str = ""
    norms: tuple[str, ...] = ()
    shared_parts: tuple[Part, ...] = ()

    @property
    def heads_per_group(self) -> int:
        """Query heads that share one key and value head."""
        return self.units // self.groups

    def kept(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What stays of the units (units,) and of the groups: (units + groups,) bool."""
        return np.concatenate([mask, mask.reshape(self.groups, -1).any(1)])


@dataclass(frozen=True)
class MlpBlock:
    """The MLP of one layer, or the experts of a mixture that are stored as one tensor.

    Attributes:
        name: path of the module that holds it.
        units: neurons (intermediate features).
        inputs: paths of the projections into the neurons; two, or one of twice the size, where gated.
        output: path of the projection out of them.
        parts: what goes with a neuron.
        after, before: where coefficients act on the activation and on what enters the activation function.
        experts: of a mixture, whose neurons these are, one expert's after the other's; 0 where it is none.
    """

    name: str
    units: int
    inputs: tuple[str, ...]
    output: str
    parts: tuple[Part, ...]
    after: Site
    before: Site
    experts: int = 0

    @property
    def groups(self) -> int:
        """Groups that keep equally many units: experts, or the units, of which each is alone."""
        return self.experts or self.units

    def kept(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What stays of the units, (units,) bool."""
        return mask

    @property
    def entering_output(self) -> Part:
        """Of experts, what their activations are multiplied with."""
        return next(part for part in self.parts if part.parameter == f"{self.after.path}.{self.after.parameter}")

    @property
    def input(self) -> str:
        """Path of the first projection into the neurons."""
        return self.inputs[0]


@dataclass(frozen=True)
class Mixture:
    """The experts of one layer as units, of which a router picks some for every token.

    The neurons of the same experts are those of the `MlpBlock` of the same name.

    Attributes:
        name: path of the module that holds the experts in one tensor.
        units: experts.
        owner: path of the module that runs the router and the experts.
        router: path of the router.
        picked: experts that the router picks for a token (top-k).
        routing_groups: groups of experts that the router compares; as many as experts where it knows none.
        least: fewest experts that the router works with.
        parts: what goes with an expert.
        counts: paths of the attributes that count experts, each of the module that has it with its name.
    """

    name: str
    units: int
    owner: str
    router: str
    picked: int
    routing_groups: int
    least: int
    parts: tuple[Part, ...]
    counts: tuple[str, ...]


Block = AttentionBlock | MlpBlock


def consecutive(units: int, size: int) -> NDArray[np.int64]:
    """`size` adjacent entries for each of `units` units in turn."""
    return np.repeat(np.arange(units), size)


def joined(pieces: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """One piece after the other."""
    return np.concatenate([np.asarray(piece, dtype=np.int64) for piece in pieces])
