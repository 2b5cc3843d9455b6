"""Of several processes that train one model, each has to make the same search."""

from __future__ import annotations

from earlybird.anatomy import Anatomy
from earlybird.anatomy.agreement import refuse_disagreement
from earlybird.config import SearchConfig, plain_values
from earlybird.search.recording import Recording


def refuse_another_search(
    config: SearchConfig,
    anatomy: Anatomy,
    total_steps: int,
    steps_per_epoch: float | None,
    recording: Recording | None,
) -> None:
    """Refuse, in every process, where one of them makes another search than the first; all have to call.

    Raises:
        InputError: the message names the first difference.
    """
    said = {
        "the model": anatomy.fingerprint,
        "total_steps": str(total_steps),
        "steps_per_epoch": str(steps_per_epoch),
        "recording": "not given" if recording is None else "given",
        "resume": "not given" if recording is None or recording.resume is None else "given",
    }
    refuse_disagreement(said | {name: repr(value) for name, value in plain_values(config).items()})
