"""Spans of a run: a number of steps, a fraction of the planned steps, or epochs."""

from __future__ import annotations

import math
import re
import reprlib
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from earlybird.errors import InputError

_WRITTEN = re.compile(r"^\s*(?P<amount>\d{1,15}(\.\d{1,30})?)\s*(?P<unit>%|ep|)\s*$")


@dataclass(frozen=True)
class Span:
    """`amount` of `unit`: 300 steps, the fraction 0.02 of the run, or 3 epochs."""

    amount: float
    unit: Literal["steps", "fraction", "epochs"]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """In a recipe a span is written, and written back, as people write it."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            parse_span, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    def __str__(self) -> str:
        if self.unit == "fraction":
            return f"{100 * self.amount:.12g}%"
        return f"{self.amount:.12g}" + ("ep" if self.unit == "epochs" else "")

    def steps(self, total_steps: int, steps_per_epoch: float | None) -> int:
        """The span in whole steps of a run of `total_steps`, at least 1.

        Raises:
            InputError: the span is in epochs and the length of an epoch is not known.
        """
        if self.unit == "steps":
            return int(self.amount)
        if self.unit == "fraction":
            return max(1, round(self.amount * total_steps))
        if steps_per_epoch is None:
            raise InputError(
                f"the span {self} is in epochs, but steps_per_epoch is not known; give steps or a fraction"
            )
        return max(1, round(self.amount * steps_per_epoch))


SpanLike = int | float | str | Span | None


def parse_span(value: Any) -> Span | None:
    """Read a span as people write it: 300 (steps), 0.02 or "2%" (of the run), "3ep" (epochs), None.

    >>> str(parse_span("2%")), str(parse_span(300)), str(parse_span("3ep"))
    ('2%', '300', '3ep')

    Raises:
        InputError: the value is none of these, or lies outside its bounds.
    """
    if value is None or isinstance(value, Span):
        return value
    if isinstance(value, str) and (match := _WRITTEN.match(value)):
        amount = float(match["amount"])
        if match["unit"] == "ep" and amount > 0:
            return Span(amount, "epochs")
        if match["unit"] == "%" and 0 < amount <= 100:
            return Span(amount / 100, "fraction")
        if match["unit"] == "":
            value = amount if "." in match["amount"] else int(amount)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return Span(value, "steps")
    if isinstance(value, float) and math.isfinite(value) and 0 < value < 1:
        return Span(value, "fraction")
    raise InputError(
        f'a span is steps (300), a fraction of the run (0.02 or "2%") or epochs ("3ep"), got {reprlib.repr(value)}'
    )


def fraction(amount: float) -> Span:
    """A fraction of the planned steps."""
    return Span(amount, "fraction")


def steps(amount: int) -> Span:
    """A number of steps."""
    return Span(amount, "steps")


def check_run_length(total_steps: Any, steps_per_epoch: Any) -> None:
    """Refuse a run of no whole number of steps, or with epochs of no length; `steps_per_epoch` may be None.

    Raises:
        InputError: it is one.
    """
    if not isinstance(total_steps, Integral) or isinstance(total_steps, bool) or total_steps < 1:
        raise InputError(f"total_steps must be a whole number of at least 1, got {total_steps!r}")
    if steps_per_epoch is None:
        return
    if not isinstance(steps_per_epoch, Real) or not 0 < float(steps_per_epoch) < math.inf:
        raise InputError(f"steps_per_epoch must be a number above 0, got {steps_per_epoch!r}")
