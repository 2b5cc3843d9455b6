"""Saving a pruned model the Hugging Face way: config.json, safetensors and a model card."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from earlybird.anatomy import Anatomy
from earlybird.anatomy.distributed import by_the_first, refuse_sharded
from earlybird.anatomy.hugging_face import outermost_models
from earlybird.anatomy.wrappers import is_adapted, unwrapped
from earlybird.checkpoint import integrity, load_mark
from earlybird.checkpoint.model_card import write_card
from earlybird.checkpoint.model_files import Processor, moved_in_together
from earlybird.config import is_number
from earlybird.errors import InputError
from earlybird.slimming.scaling import refuse_while_slimming
from earlybird.surgery.pruned_shape import PrunedShape, record_shape
from earlybird.surgery.router_mask import refuse_masked_routers
from earlybird.ticket import FILE_NAME, Ticket

_log = logging.getLogger(__name__)


def save(
    model: PreTrainedModel,
    directory: str | os.PathLike[str],
    *,
    ticket: Ticket | None = None,
    accuracy: float | None = None,
    processor: Processor | None = None,
    max_shard_size: int | str = "50GB",
) -> Path:
    """Write a (pruned) model to a directory that `load` and, after `import earlybird`, `from_pretrained` take.

    Where the config's own fields can say the pruned shape (see `earlybird.surgery.plain_config`), they do, and the
    directory loads in a process that has never seen earlybird.

    Of several processes the first writes. The others may call, too: they wait for it, and fail where it fails.

    Args:
        model: a Hugging Face model, pruned or not, of any dtype and on any device.
        directory: made if needed; a model that it holds is replaced once the new one is written whole. A process that
            is killed leaves one of the two; `load` finishes what it had begun.
        ticket: by which the model was pruned, for the model card, and to be written beside it as ticket.json.
        accuracy: in percent, for the model card.
        processor: the tokenizer or image processor, to be saved beside the model; `pipeline` needs it there.
        max_shard_size: of a weights file, in bytes or as text ("5GB").

    Returns:
        The directory.

    Raises:
        InputError: it is a file, the model is none of Hugging Face's, has adapters on it or a search, is sharded
            over processes or not pruned by the ticket, or the accuracy is no percentage.
    """
    model = writable(model)
    target = directory_for(directory)
    if accuracy is not None:
        if not (is_number(accuracy) and 0 <= accuracy <= 100):
            raise InputError(f"accuracy must be a percentage in [0, 100], got {accuracy!r}")
        if 0 < accuracy <= 1:
            _log.warning("accuracy is in percent, and %s is told as that: write 88.1, not 0.881", accuracy)
    if processor is not None and not hasattr(processor, "save_pretrained"):
        raise InputError(f"processor must be a tokenizer or an image processor, got {processor!r}")
    anatomy = Anatomy.of(model)
    if ticket is not None:
        refuse_another_ticket(anatomy, ticket)
    reason = record_shape(model, anatomy)

    def write() -> None:
        with moved_in_together(target, processor) as aside:
            model.save_pretrained(aside, max_shard_size=max_shard_size)
            integrity.seal(aside)
            load_mark.mark(aside)
            if ticket is not None:
                ticket.save(aside / FILE_NAME)
            write_card(model, aside, reason=reason, ticket=ticket, accuracy=accuracy)

    by_the_first(write)
    if reason and not anatomy.gone and all(len(set(units)) == 1 for units in anatomy.units.values()):
        _log.warning(
            "every block in %s keeps the same number of units, but it loads after `import earlybird` only: %s; for"
            " other tools see earlybird.export",
            target,
            reason,
        )
    return target


def refuse_another_ticket(anatomy: Anatomy, ticket: Ticket) -> None:
    """Refuse a ticket by which a model was not pruned, where its blocks have the ticket's names.

    Raises:
        InputError: a block has another number of units than the ticket keeps.
    """
    shape = PrunedShape.of(anatomy)
    for kind, names in ticket.blocks.items():
        found = dict(zip(shape.blocks.get(kind, ()), shape.kept.get(kind, ()), strict=True))
        for name, kept in zip(names, ticket.kept(kind), strict=True):
            if found.get(name, kept) != kept:
                raise InputError(
                    f"the model is not pruned by this ticket: {name} has {found[name]} {kind}, and the ticket keeps"
                    f" {kept}; prune the model by it first, or leave ticket out"
                )


def directory_for(directory: str | os.PathLike[str]) -> Path:
    """The directory to write to.

    Raises:
        InputError: there is a file of that name.
    """
    target = Path(directory)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; give a directory to save to")
    return target


def writable(model: Any) -> PreTrainedModel:
    """A Hugging Face model, without the wrapper that compiles it.

    Raises:
        InputError: it is another model, sharded over processes, in the middle of a search, or has adapters beside its
            weights.
    """
    inner = unwrapped(model) if isinstance(model, nn.Module) else model
    if not isinstance(inner, PreTrainedModel):
        inside = [f"model.{path}" for path in outermost_models(inner)] if isinstance(inner, nn.Module) else []
        if inside:
            raise InputError(
                f"this needs a Hugging Face model, got {type(model).__name__}; its config says nothing of other"
                f" modules: give the model inside it, {' or '.join(inside[:4])}"
            )
        raise InputError(
            f"this needs a Hugging Face model, got {type(model).__name__}; of any other save the ticket and the state"
            " dict, prune a fresh model with the ticket, and let it load the state dict"
        )
    refuse_sharded(inner)
    refuse_while_slimming(inner)
    refuse_masked_routers(inner)
    adapted = next((name for name, module in inner.named_modules() if is_adapted(module)), None)
    if adapted is not None:
        raise InputError(
            f"there is an adapter on {adapted}: merge it into the weights, model = model.merge_and_unload(), or keep it"
            " beside them: model.save_pretrained(...) writes the adapter alone, and model.unload() gives the model to"
            " write here"
        )
    return inner
