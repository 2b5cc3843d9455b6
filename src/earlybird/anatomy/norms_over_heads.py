"""Norms over the queries, or the keys, of all heads together (OLMo 2 and 3, InternVL).

Removing a head changes what such a norm divides by, so that the rows of all heads must stay before it. After it, a
pruned attention goes on with the features of the heads that it has kept, which a buffer of the norm lists. What its
heads lose then are their values, their share of the output projection and their scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from earlybird.anatomy.blocks import Part
from earlybird.anatomy.paths import below
from earlybird.anatomy.projections import Projection

# Buffer of a norm over all heads that lists the features of the heads kept.
KEPT_FEATURES = "kept_features"


@dataclass(frozen=True)
class NormOverHeads:
    """A norm over all features of a projection.

    Attributes:
        path: of the norm.
        projection: whose output it is given.
        normalised: features that it runs over.
        kept: features that go on after it, all unless heads were removed.
    """

    path: str
    projection: Projection
    normalised: int
    kept: int

    @property
    def selected(self) -> Projection:
        """The projection as what comes after the norm sees it: with the kept features, listed by the buffer."""
        return replace(self.projection, outputs=self.kept, rows=((below(self.path, KEPT_FEATURES), 0),))

    def shared_parts(self, modules: Mapping[str, nn.Module]) -> list[Part]:
        """What all heads need: it goes with the last of them."""
        parameters = [(below(self.path, name), 0) for name, _ in modules[self.path].named_parameters(recurse=False)]
        return [
            Part(name, dim, np.zeros(self.normalised, np.int64)) for name, dim in (*self.projection.rows, *parameters)
        ]


def norm_over_heads(modules: Mapping[str, nn.Module], projection: Projection, letter: str) -> NormOverHeads | None:
    """The norm beside a projection whose name begins with a letter, "q" or "k", and that runs over all its features.

    One head has such a norm, too, where it is the only one.
    """
    around, _, _ = projection.path.rpartition(".")
    for name, module in modules[around].named_children():
        weight = getattr(module, "weight", None)
        if name.startswith(letter) and "norm" in name and weight is not None and weight.shape == (projection.outputs,):
            kept = module._buffers.get(KEPT_FEATURES)
            path = below(around, name)
            return NormOverHeads(
                path, projection, projection.outputs, projection.outputs if kept is None else len(kept)
            )
    return None
