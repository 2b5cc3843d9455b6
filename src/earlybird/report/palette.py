"""One colour per thing, the same in every plot and table, on light and on dark ground.

Heads and neurons are blue and orange, which all common kinds of colour blindness tell apart; every text
colour has a contrast of at least 4.5 to its ground.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from matplotlib import colormaps
from matplotlib.colors import to_hex

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "ground": "#ffffff",
        "surface": "#f4f5f7",
        "ink": "#1b1f24",
        "muted": "#59616b",
        "line": "#d5d9de",
        "grid": "#e4e7eb",
        "link": "#0a58a6",
        "heads": "#0067b1",
        "heads-faint": "#a9cbe5",
        "neurons": "#b04a00",
        "neurons-faint": "#ecc5a6",
        "experts": "#6b6400",
        "experts-faint": "#d9d5a0",
        "band-wide": "rgba(176, 74, 0, 0.14)",
        "band": "rgba(176, 74, 0, 0.26)",
        "band-strong": "rgba(176, 74, 0, 0.44)",
        "pruned": "#e4e7eb",
        "dense": "#59616b",
        "ticket": "#00735a",
        "random": "#8a3d92",
    }
)
DARK: Mapping[str, str] = MappingProxyType(
    {
        "ground": "#15181c",
        "surface": "#1f242a",
        "ink": "#e8eaed",
        "muted": "#a3acb7",
        "line": "#3a424c",
        "grid": "#2b3138",
        "link": "#7db8f0",
        "heads": "#62b0ee",
        "heads-faint": "#2d5472",
        "neurons": "#f0a05a",
        "neurons-faint": "#6e4a2a",
        "experts": "#cfc24a",
        "experts-faint": "#56511f",
        "band-wide": "rgba(240, 160, 90, 0.16)",
        "band": "rgba(240, 160, 90, 0.30)",
        "band-strong": "rgba(240, 160, 90, 0.50)",
        "pruned": "#2b3138",
        "dense": "#a3acb7",
        "ticket": "#43c3a2",
        "random": "#d591dc",
    }
)
# The part of viridis that stands out from each ground.
_LAYERS_LIGHT = (0.0, 0.80)
_LAYERS_DARK = (0.30, 1.0)


def layer_colours(layers: int, *, dark: bool = False) -> list[str]:
    """A colour per layer, by depth."""
    low, high = _LAYERS_DARK if dark else _LAYERS_LIGHT
    scale = colormaps["viridis"]
    return [to_hex(scale(low + (high - low) * layer / max(1, layers - 1))) for layer in range(layers)]


def variable(name: str) -> str:
    """The colour of a thing as the page's style sheet holds it; it follows the reader's light or dark mode."""
    return f"var(--{name})"


def style_variables(layers: int) -> str:
    """The style sheet's rules that define all colours, for a model of so many layers."""

    def rule(colours: Mapping[str, str], by_layer: list[str]) -> str:
        named = [f"--{name}: {value};" for name, value in colours.items()]
        named += [f"--layer-{layer}: {value};" for layer, value in enumerate(by_layer)]
        return ":root { " + " ".join(named) + " }"

    light = rule(LIGHT, layer_colours(layers))
    dark = rule(DARK, layer_colours(layers, dark=True))
    return f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}"
