"""Every figure by its name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from earlybird.errors import InputError
from earlybird.report.figures.agreement import agreement
from earlybird.report.figures.criteria import criteria
from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.frames_with_data import FramesWithData
from earlybird.report.figures.hamming_distances import hamming_distances
from earlybird.report.figures.hamming_draws import hamming_draws
from earlybird.report.figures.head_coefficients import head_coefficients
from earlybird.report.figures.mask_distances import mask_distances
from earlybird.report.figures.neuron_coefficients import neuron_coefficients
from earlybird.report.figures.norm import norm
from earlybird.report.figures.norm_windows import norm_windows
from earlybird.report.figures.p_values import p_values
from earlybird.report.figures.record import Record
from earlybird.report.figures.scores import scores
from earlybird.report.figures.slopes import slopes
from earlybird.report.figures.survivors import survivors
from earlybird.report.figures.unit_regressions import unit_regressions_figure
from earlybird.report.figures.unit_states import unit_states_figure

FIGURES: Mapping[str, Callable[[Record], FigureWithData | FramesWithData | None]] = MappingProxyType(
    {
        "head-coefficients": head_coefficients,
        "neuron-coefficients": neuron_coefficients,
        "hamming-distances": hamming_distances,
        "hamming-draws": hamming_draws,
        "norm": norm,
        "criteria": criteria,
        "p-values": p_values,
        "slopes": slopes,
        "norm-windows": norm_windows,
        "unit-regressions": unit_regressions_figure,
        "unit-states": unit_states_figure,
        "agreement": agreement,
        "mask-distances": mask_distances,
        "scores": scores,
        "survivors": survivors,
    }
)


def write_figures(
    root: Path,
    directory: Path,
    names: Collection[str] = (),
    changes: Mapping[str, Any] | None = None,
    unit: str | None = None,
) -> dict[str, list[Path]]:
    """Write the named figures of a record, by default all, as PNG, SVG and CSV, an animation as frames and CSV.

    Args:
        root: a run's directory, or a trajectory's.
        directory: where to write.
        names: of `FIGURES`.
        changes: of the `search` settings, see `Record.of`.
        unit: the one that figures of one unit show, as heads.3.7; by default the most restless one.

    Returns:
        The paths written per name; none where the record has nothing to show in that figure.

    Raises:
        InputError: an unknown name, no record in `root`, no such unit, or a figure that cannot be made; the others are
            then written.
    """
    for name in names:
        if name not in FIGURES:
            near = get_close_matches(name, FIGURES, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"choose among {', '.join(FIGURES)}"
            raise InputError(f"there is no figure {name!r}; {hint}")
    record = Record.of(root, changes, unit)
    written: dict[str, list[Path]] = {}
    failed: dict[str, InputError] = {}
    for name in names or FIGURES:
        try:
            made = FIGURES[name](record)
        except InputError as error:
            failed[name] = error
            continue
        written[name] = [] if made is None else made.write(directory, name)
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        others = f" (written in {directory}: {', '.join(name for name, paths in written.items() if paths)})"
        raise InputError(f"cannot be made: {reasons}{others if any(written.values()) else ''}")
    return written
