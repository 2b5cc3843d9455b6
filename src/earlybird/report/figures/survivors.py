"""Which heads, and how many neurons, the ticket keeps in each layer."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import ListedColormap

from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import frameless, plain, titled_figure
from earlybird.report.one_by_one import one_by_one, one_of
from earlybird.report.palette import LIGHT


def survivors(record: Record) -> FigureWithData | None:
    """Heads and experts one by one, neurons as a share of each layer; the data names each. None without a draw."""
    ticket = record.ticket
    kinds = [] if ticket is None else [kind for kind in record.kinds if kind in ticket.masks]
    if ticket is None or not kinds:
        return None
    deepest = max(len(ticket.units[kind]) for kind in kinds)
    figure = titled_figure(f"{record.name}: what the ticket keeps", 1.2 + 0.32 * deepest)
    grid = figure.subplots(1, len(kinds), squeeze=False)
    rows: list[tuple[object, ...]] = []
    for axes, kind in zip(grid.flat, kinds, strict=True):
        units, mask = ticket.units[kind], ticket.masks[kind]
        kept = ticket.kept(kind)
        if one_by_one(kind, units):
            real = np.arange(mask.shape[1]) < np.asarray(units)[:, None]
            shown = np.where(real, mask.astype(float), np.nan)
            axes.imshow(shown, cmap=ListedColormap([LIGHT["pruned"], LIGHT[kind]]), vmin=0, vmax=1, aspect="auto")
            axes.set_xticks(np.arange(mask.shape[1] + 1) - 0.5, minor=True)
            axes.set_yticks(np.arange(len(units) + 1) - 0.5, minor=True)
            axes.grid(which="minor", color=LIGHT["ground"], linewidth=2)
            frameless(axes)
            axes.set_xticks(range(0, mask.shape[1], max(1, mask.shape[1] // 12)))
            axes.set_xlabel(one_of(kind), color=LIGHT["muted"])
        else:
            plain(axes)
            share = 100 * np.array(kept) / np.maximum(units, 1)
            axes.barh(range(len(units)), share, color=LIGHT[kind])
            for layer, value in enumerate(share):
                axes.text(value + 1, layer, f"{kept[layer]:,}", va="center", fontsize=8, color=LIGHT["muted"])
            axes.set_xlim(0, 112)
            axes.set_ylim(len(units) - 0.5, -0.5)
            axes.set_xlabel("kept, %", color=LIGHT["muted"])
        axes.set_yticks(range(len(units)))
        axes.set_ylabel("layer", color=LIGHT["muted"])
        axes.set_title(f"{sum(kept):,} of {sum(units):,} {kind}", fontsize=10, color=LIGHT[kind])
        for layer, (count, of) in enumerate(zip(kept, units, strict=True)):
            rows.append((kind, layer, count, of, " ".join(map(str, np.flatnonzero(mask[layer])))))
    return FigureWithData(figure, ("kind", "layer", "kept", "of", "units"), rows)
