"""What every page is: one HTML file that loads nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version

from plotly.offline import get_plotlyjs

from earlybird.report.page.compressed import compressed
from earlybird.report.page.markup import Markup, element, joined
from earlybird.report.page.plots.plot import Plot
from earlybird.report.page.script import PREPARE, SCRIPT
from earlybird.report.page.style import STYLE
from earlybird.report.palette import style_variables

# Even a plot that went wrong could fetch nothing.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def document(title: str, content: Sequence[Markup], plots: Sequence[Plot] = (), layers: int = 0) -> Markup:
    """A whole page.

    Args:
        title: what the browser's tab says.
        content: its parts, the places of the plots among them.
        plots: what is drawn there; without one the page has no script.
        layers: so many have a colour of their own.
    """
    head = [
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        element("title", f"{title} - earlybird"),
        *([Markup(f"<script>{PREPARE}</script>")] if plots else []),
        Markup(f"<style>\n{style_variables(layers)}{STYLE}</style>"),
    ]
    footer = f"Written by earlybird {version('earlybird')}. This page loads nothing from the network."
    parts = [
        Markup("<!DOCTYPE html>"),
        # Until the script says otherwise.
        Markup('<html lang="en" class="plotless">' if plots else '<html lang="en">'),
        element("head", joined(head)),
        Markup("<body>"),
        element("main", *content),
        element("footer", footer),
        *(_scripts(plots) if plots else []),
        Markup("</body>"),
        Markup("</html>"),
        "",
    ]
    return joined(parts)


def _scripts(plots: Sequence[Plot]) -> list[Markup]:
    """plotly.js, the plots' data and the page's script."""
    data = json.dumps({plot.name: plot.spec for plot in plots}, separators=(",", ":"), allow_nan=False)
    return [compressed("plotly", get_plotlyjs()), compressed("plots", data), Markup(f"<script>{SCRIPT}</script>")]
