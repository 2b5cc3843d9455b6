"""The p-values of a slope at each check, as every plot of them shows them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.report.page.plots.plot import Spec, line_trace
from earlybird.vocabulary import Kind

# A p-value lies in [0, 1]; its points at the ends shall be whole.
P_RANGE = (-0.04, 1.04)


def p_value_trace(steps: NDArray[np.int64], p: NDArray[np.float64], kind: Kind) -> Spec:
    """The p-values (n,) at the checks' steps (n,); one that is NaN is a gap."""
    # To what the axis can show: of 1e-40 nobody needs the digits.
    line = line_trace(steps, np.round(p, 3), "p", kind, width=1.5)
    return line | {"mode": "lines+markers", "marker": {"size": 5}}
