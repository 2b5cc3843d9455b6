"""Every detector in words, for `earlybird detectors`."""

from __future__ import annotations

from earlybird.config import DEFAULT_SCORE
from earlybird.detectors.presets import DEFAULT_DETECTORS, DETECTORS
from earlybird.detectors.specification import DetectorSpecification
from earlybird.spans import Span

_COMBINATIONS = {
    "all(A, B, ...)": "Every one of the detectors is settled, each by its newest check.",
    "any(A, B, ...)": "One of the detectors is settled, by its newest check.",
    "repeat(A, times)": "The detector was settled at so many checks in a row.",
    "stationary-share(TEST)": "As stationary-share, by another test on windows.",
}


def described_detectors() -> list[dict[str, str]]:
    """What each draws on, its null hypothesis, its default settings, the operations of a check."""
    rows = [
        {
            "detector": name + _default(name),
            "draws_when": rule.summary,
            "null_hypothesis": rule.null,
            "settings": _settings(rule),
            "cost": rule.cost,
        }
        for name, rule in DETECTORS.items()
    ]
    for written, summary in _COMBINATIONS.items():
        rows.append(
            {
                "detector": written,
                "draws_when": summary,
                "null_hypothesis": "that of its members",
                "settings": "those of its members",
                "cost": "that of its members",
            }
        )
    return rows


def _settings(rule: DetectorSpecification) -> str:
    spans = {
        "smoothing": rule.smoothing,
        "window": rule.window,
        "every": rule.every,
        "start": rule.start,
        "lag": rule.lag,
    }
    settings = [f"{key} {_short(span)}" for key, span in spans.items() if span is not None]
    if rule.criterion is not None:
        settings.append(f"criterion {rule.criterion}")
    if rule.remark:
        settings.append(rule.remark)
    if rule.unsmoothed:
        settings.append(f"{', '.join(rule.unsmoothed)} unsmoothed")
    if rule.threshold is not None:
        settings.append(f"threshold {rule.threshold:g}")
    return ", ".join(settings) or "none"


def _default(name: str) -> str:
    if name == DEFAULT_DETECTORS[DEFAULT_SCORE]:
        return " (default)"
    return " (default by coefficients)" if name == DEFAULT_DETECTORS["coefficient"] else ""


def _short(span: Span) -> str:
    """A span as people write it: a twelfth of the run has no end as a percentage."""
    return f"{100 * span.amount:.3g}%" if span.unit == "fraction" else str(span)
