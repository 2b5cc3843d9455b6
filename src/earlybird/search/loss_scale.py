"""What a loss in float16 is scaled by, step by step, and whether the step was taken."""

from __future__ import annotations

import torch

from earlybird.errors import InputError

# A scale of 65,536 is halved to below one in so many; nothing below it can help.
_MOST_SKIPPED = 40


class LossScale:
    """Follows a gradient scaler, which halves its scale where it has skipped a step and raises it now and then.

    Args:
        scaler: of the training.
    """

    def __init__(self, scaler: torch.amp.GradScaler) -> None:
        self._scaler = scaler
        self._scale = scaler.get_scale()
        self._skipped = 0

    def of_step(self) -> float | None:
        """What the loss of the newest step was scaled by, once the scaler is updated; None where it skipped the step.

        Raises:
            InputError: it has skipped every one of many steps, or its scale was set by somebody else.
        """
        scale, self._scale = self._scale, self._scaler.get_scale()
        if self._scaler.is_enabled() and self._scale / scale not in self._changes():
            raise InputError(
                f"the scale went from {scale:g} to {self._scale:g} in one step, which the gradient scaler does not do"
                " by itself: load its state before the search begins, and call update() once before every step()"
            )
        if self._scale >= scale:
            self._skipped = 0
            return scale
        self._skipped += 1
        if self._skipped == _MOST_SKIPPED:
            raise InputError(
                f"the gradient scaler has skipped {_MOST_SKIPPED} steps in a row, down to a scale of {self._scale:g}:"
                " the loss or a gradient is not finite in float16 at any scale; use bfloat16"
            )
        return None

    def _changes(self) -> tuple[float, ...]:
        """By what the scaler itself multiplies its scale after a step."""
        return 1.0, self._scaler.get_growth_factor(), self._scaler.get_backoff_factor()
