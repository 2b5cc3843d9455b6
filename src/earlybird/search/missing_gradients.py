"""The look for coefficients that the loss does not reach, in the first steps of a search."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from earlybird.errors import InputError
from earlybird.slimming.slimming import Slimming
from earlybird.vocabulary import Kind

# A head of a model that starts at 0 lets no gradient through in the very first steps.
_STEPS = 10
# Chance leaves a single block out every now and then (layer drop, stochastic depth).
_STEPS_IN_A_BLOCK = 30


class MissingGradients:
    """Refuses to search on by the penalty alone, or by nothing: the masks would say nothing of the task.

    Args:
        slimming: the coefficients.
        names: of their blocks, per kind.
    """

    def __init__(self, slimming: Slimming, names: Mapping[Kind, tuple[str, ...]]) -> None:
        self._slimming = slimming
        self._names = names
        self._steps = 0
        self._reached = {kind: np.zeros(len(own.units), dtype=np.bool_) for kind, own in slimming.coefficients.items()}

    def look(self) -> None:
        """Look at a step's gradients; after the last block was reached there is nothing to look for.

        Raises:
            InputError: no gradient has come, or none to some blocks, for long enough; a projection was replaced.
        """
        self._steps += 1
        for kind, reached in list(self._reached.items()):
            reached |= self._slimming.coefficients[kind].blocks_reached()
            if reached.all():
                del self._reached[kind]
                continue
            self._slimming.check_attached()
            if not reached.any() and self._steps == _STEPS:
                raise InputError(
                    f"no gradient of the loss has reached the coefficients of the {kind} in {_STEPS} steps: does"
                    " another copy of the model train, or does gradient checkpointing recompute layers whose inputs"
                    " need no gradient (then use_reentrant=False, or model.enable_input_require_grads())?"
                )
            if self._steps == _STEPS_IN_A_BLOCK:
                missed = [name for name, known in zip(self._names[kind], reached, strict=True) if not known]
                raise InputError(
                    f"no gradient of the loss has reached the coefficients of {', '.join(missed)} in"
                    f" {_STEPS_IN_A_BLOCK} steps, while others have theirs: blocks that run under torch.no_grad(), or"
                    " not at all, cannot be searched: anatomy=Anatomy.of(model, exclude=[...]); with gradient"
                    " checkpointing use_reentrant=False lets gradients through"
                )
