"""Draw the rooms of the package and which imports which, from its import graph.

    python website/architecture.py

Writes docs/architecture.svg and prints the arrows. An arrow that follows from others is left out: where a room imports
a second, and that a third, the first may import the third too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import grimp

# Column and row; what a room imports stands below it. A new room needs a place here, and a sentence on the page.
PLACES = {
    "cli": (1.5, 0),
    "report": (0.5, 1),
    "exports": (3, 2),
    "recipes": (0.5, 2),
    "integrations": (1.5, 3),
    "checkpoint": (3, 3),
    "search": (1.5, 4),
    "latency": (3, 5),
    "surgery": (3, 6),
    "detectors": (0.5, 7),
    "ticket": (2, 7),
    "slimming": (3, 7),
    "models": (4, 7),
    "trajectory": (-1, 8),
    "criteria": (1, 8),
    "stationarity": (0, 8),
    "anatomy": (3, 8),
    "masks": (1.5, 9),
    "config": (1.5, 10),
}
# Single files that every room may import, drawn as one: the ground.
GROUND = ("errors", "vocabulary", "spans", "extras", "hub", "atomic_write")
_WIDTH, _HEIGHT, _ACROSS, _DOWN = 118, 34, 138, 74


def imports() -> dict[str, set[str]]:
    """Which rooms each room imports, where the program runs and not only its types are checked."""
    graph = grimp.build_graph("earlybird", exclude_type_checking_imports=True)
    rooms = sorted(graph.find_children("earlybird") - {"earlybird.__main__"})
    return {
        name(room): {
            name(other)
            for other in rooms
            if other != room and graph.direct_import_exists(importer=room, imported=other, as_packages=True)
        }
        for room in rooms
    }


def name(module: str) -> str:
    """Of a room, without that of the package."""
    return module.partition(".")[2]


def below(room: str, graph: Mapping[str, set[str]]) -> set[str]:
    """All that a room imports, and what that imports.

    Raises:
        RecursionError: there is a circle.
    """
    return graph[room].union(*(below(other, graph) for other in graph[room]))


def arrows(graph: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """The imports that follow from no others, top down."""
    for room in sorted(graph, key=lambda room: (PLACES[room][1] if room in PLACES else 9, room)):
        for other in sorted(graph[room]):
            if not any(other in below(between, graph) for between in graph[room]):
                yield room, other


def svg(graph: Mapping[str, set[str]]) -> str:
    """The diagram."""
    unplaced = sorted(set(graph) ^ {*PLACES, *GROUND})
    if unplaced:
        raise SystemExit(f"PLACES and GROUND in {Path(__file__).name} do not fit the package: {', '.join(unplaced)}")
    left = min(column for column, _ in PLACES.values())
    columns = max(column for column, _ in PLACES.values()) - left + 1
    rows = max(row for _, row in PLACES.values()) + 2
    width, height = int(columns * _ACROSS + 20), int(rows * _DOWN)
    centre = {
        room: (10 + (column - left + 0.5) * _ACROSS, 10 + row * _DOWN + _HEIGHT / 2)
        for room, (column, row) in PLACES.items()
    }
    ground_y = 10 + (rows - 1) * _DOWN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="system-ui, sans-serif" font-size="14" text-anchor="middle">',
        "<title>The rooms of earlybird; an arrow leads from a room to what it imports</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#5b6673"/></marker></defs>',
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
    ]
    for room, other in arrows(graph):
        if room in GROUND or other in GROUND:
            continue
        (x, y), (to_x, to_y) = centre[room], centre[other]
        y, to_y = y + _HEIGHT / 2, to_y - _HEIGHT / 2 - 1
        bend = (to_y - y) / 2
        lines.append(
            f'<path d="M{x:g} {y:g}C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}" fill="none"'
            ' stroke="#5b6673" stroke-width="1.3" marker-end="url(#head)"/>'
        )
    for room, (x, y) in centre.items():
        lines += box(x, y, _WIDTH, room, "#e8f0fb", "#2f6fb7")
    lines += box(width / 2, ground_y + _HEIGHT / 2, width - 40, ", ".join(GROUND), "#f1f3f5", "#8a94a0")
    return "\n".join([*lines, "</svg>", ""])


def box(x: float, y: float, width: float, text: str, fill: str, stroke: str) -> list[str]:
    """A rounded rectangle with a text, around a centre."""
    return [
        f'<rect x="{x - width / 2:g}" y="{y - _HEIGHT / 2:g}" width="{width:g}" height="{_HEIGHT}" rx="6"'
        f' fill="{fill}" stroke="{stroke}"/>',
        f'<text x="{x:g}" y="{y + 5:g}" fill="#1c2733">{text}</text>',
    ]


def main() -> None:
    """Write the diagram and print its arrows."""
    graph = imports()
    target = Path(__file__).parents[1] / "docs" / "architecture.svg"
    target.write_text(svg(graph), encoding="utf-8")
    for room in dict.fromkeys(room for room, _ in arrows(graph)):
        print(f"{room} -> {', '.join(other for importer, other in arrows(graph) if importer == room)}")
    print(f"{len(graph)} rooms, no circles; wrote {target}")


if __name__ == "__main__":
    main()
