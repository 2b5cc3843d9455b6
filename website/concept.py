"""The idea in one picture, for the README and the first page; it follows the reader's light or dark mode.

    python website/concept.py

The four steps above are a sketch. The two areas below are to scale: the mean of the default's runs in
benchmarks/results/defaults-sst2/three-costs.csv. Writes docs/concept.svg.
"""

from __future__ import annotations

import csv
import random
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path

from earlybird.report.palette import DARK, LIGHT, variable

ROOT = Path(__file__).parents[1]
COSTS = ROOT / "benchmarks" / "results" / "defaults-sst2" / "three-costs.csv"
WIDTH, HEIGHT = 680, 430
_LAYERS, _UNITS, _CELL = 6, 10, 13
_PANELS = (20, 190, 360, 530)
_TOP = 56
_COLOURS = ("ground", "ink", "muted", "line", "heads", "pruned", "dense", "ticket")
_STEPS = ("1 search", "2 draw", "3 cut", "4 train on")
_WORDS = (
    ("each unit", "gets a score"),
    ("the ranking", "has settled"),
    ("the rest", "is removed"),
    ("only the small", "network learns"),
)


def measured(path: Path = COSTS) -> tuple[float, float]:
    """The default's training and its answers, as shares of dense training's FLOPs and of a dense answer's."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["row"] == "default"]
    training, answer = (
        statistics.mean(float(row[name]) for row in rows) for name in ("training_flops", "answer_flops")
    )
    return training, answer


def svg(training: float, answer: float) -> str:
    """The picture, on a ground of its own, since a page may be light where the reader's system is dark."""
    label = (
        "Search, draw, cut, train on: every head and neuron gets a score; when the ranking has settled, the rest is"
        f" removed and only the small network trains. Training takes {training:.0%} of dense training's FLOPs, an"
        f" answer {answer:.0%} of a dense one's."
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"'
        ' font-family="system-ui, sans-serif" font-size="14">',
        f"<style>{_style()}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="{variable("ground")}"/>',
        *_sketch(),
        *_areas(training, answer),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _style() -> str:
    def rule(colours: Mapping[str, str]) -> str:
        return ":root{" + "".join(f"--{name}:{colours[name]};" for name in _COLOURS) + "}"

    return f"{rule(LIGHT)}@media(prefers-color-scheme:dark){{{rule(DARK)}}}"


def _sketch() -> Iterator[str]:
    generator = random.Random(4)
    scores = [[generator.random() * (0.55 + 0.45 * layer / _LAYERS) for _ in range(_UNITS)] for layer in range(_LAYERS)]
    threshold = statistics.median(score for row in scores for score in row)
    for left, step, words in zip(_PANELS, _STEPS, _WORDS, strict=True):
        yield f'<text x="{left}" y="28" font-size="18" font-weight="600" fill="{variable("ink")}">{step}</text>'
        for line, word in enumerate(words):
            yield f'<text x="{left}" y="{_TOP + 102 + 18 * line}" fill="{variable("muted")}">{word}</text>'
    for layer, row in enumerate(scores):
        kept = 0
        for unit, score in enumerate(row):
            yield _cell(_PANELS[0], layer, unit, variable("heads"), 0.15 + 0.85 * score)
            if score < threshold:
                yield _cell(_PANELS[2], layer, unit, variable("pruned"), 1)
                continue
            yield _cell(_PANELS[2], layer, unit, variable("ticket"), 1)
            yield _cell(_PANELS[3], layer, kept, variable("ticket"), 1)
            kept += 1
    yield from _curve()


def _cell(left: float, layer: int, unit: int, colour: str, opacity: float) -> str:
    x, y = left + _CELL * unit, _TOP + _CELL * layer
    return (
        f'<rect x="{x}" y="{y}" width="{_CELL - 3}" height="{_CELL - 3}" rx="2" fill="{colour}"'
        f' fill-opacity="{opacity:.2f}"/>'
    )


def _curve() -> Iterator[str]:
    """How well the ranking holds on what it has not seen, up to the draw."""
    left, bottom, high = _PANELS[1], _TOP + _CELL * _LAYERS, _CELL * _LAYERS
    points = [(0, 0.05), (12, 0.40), (24, 0.28), (36, 0.62), (48, 0.58), (60, 0.78), (72, 0.76), (84, 0.86), (96, 0.9)]
    path = " ".join(f"{left + x},{bottom - high * y:.1f}" for x, y in points)
    end, level = left + points[-1][0], bottom - high * points[-1][1]
    yield f'<path d="M{left} {_TOP}V{bottom}H{left + 130}" fill="none" stroke="{variable("line")}" stroke-width="1.5"/>'
    yield (
        f'<path d="M{left} {level:.1f}H{left + 130}" stroke="{variable("muted")}" stroke-width="1"'
        ' stroke-dasharray="4 4"/>'
    )
    yield f'<polyline points="{path}" fill="none" stroke="{variable("heads")}" stroke-width="2.5"/>'
    yield f'<circle cx="{end}" cy="{level:.1f}" r="5" fill="{variable("ticket")}"/>'


def _areas(training: float, answer: float) -> Iterator[str]:
    """Steps across, FLOPs of a step upwards, so that areas are FLOPs."""
    left, across, high = 20.0, 480.0, 80.0
    first, second = 212.0, 316.0
    drawn = across * (training - answer) / (1 - answer)
    low = high * answer
    ink, muted, beside = variable("ink"), variable("muted"), left + across + 14
    yield (
        f'<rect x="{left}" y="{first}" width="{across}" height="{high}" fill="{variable("dense")}"'
        ' fill-opacity="0.45"/>'
    )
    yield _text(left + 12, first + 46, "dense training", ink)
    yield _text(beside, first + 34, "100%", ink, size=22)
    yield _text(beside, first + 54, "of the FLOPs", muted)
    yield (
        f'<rect x="{left}" y="{second}" width="{drawn:.1f}" height="{high}" fill="{variable("heads")}"'
        ' fill-opacity="0.75"/>'
    )
    yield (
        f'<rect x="{left + drawn:.1f}" y="{second + high - low:.1f}" width="{across - drawn:.1f}" height="{low:.1f}"'
        f' fill="{variable("ticket")}" fill-opacity="0.6"/>'
    )
    yield _text(left + drawn + 12, second + 26, "search, then the small network", ink)
    yield _text(beside, second + 34, f"{training:.0%}", ink, size=22)
    yield _text(beside, second + 54, "of the FLOPs,", muted)
    yield _text(beside, second + 72, f"{answer:.0%} per answer", muted)
    yield _text(left, second + high + 22, "to scale: steps across, FLOPs of a step upwards", muted)


def _text(x: float, y: float, text: str, colour: str, *, size: int = 15) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}">{text}</text>'


def main() -> None:
    """Write the picture."""
    target = ROOT / "docs" / "concept.svg"
    target.write_text(svg(*measured()), encoding="utf-8")
    print(f"wrote {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
