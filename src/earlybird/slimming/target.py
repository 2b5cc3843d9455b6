"""Where the coefficients of one block act."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from earlybird.anatomy.blocks import Part
from earlybird.vocabulary import Place


@dataclass(frozen=True)
class Target:
    """Where a block's coefficients act: the input features (after) or output features (before) of a module.

    Or, of experts' neurons, a parameter of it, of which a part says where they lie; or the experts themselves.
    """

    path: str
    module: nn.Module
    units: int
    unit_of: NDArray[np.int64] | None = None
    place: Place = "after"
    parameter: str = ""
    part: Part | None = None
