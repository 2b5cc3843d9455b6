"""The Trainer's checkpoints: which of them a search goes on from, and whether their weights were really loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer

from earlybird.anatomy.distributed import is_sharded_tensor, wait_for_all
from earlybird.anatomy.wrappers import unwrapped
from earlybird.errors import InputError, first_line
from earlybird.integrations.search_callback import SEARCH_STATE
from earlybird.search.search import Search
from earlybird.search.state import read_search_state

_AFTER_THE_DRAW = (
    'after its draw, then="continue" trains the pruned model: earlybird.load(CHECKPOINT), and resume it by a Trainer'
    " without the search"
)


def checkpoint_to_search_on(output: Path, step: int) -> Path:
    """The checkpoint of a step in the Trainer's output_dir.

    Raises:
        InputError: it holds no search; the message names the newest that does.
    """
    checkpoint = output / f"checkpoint-{step}"
    if (checkpoint / SEARCH_STATE).is_file():
        return checkpoint
    names = [path.parent.name.removeprefix("checkpoint-") for path in output.glob(f"checkpoint-*/{SEARCH_STATE}")]
    newest = max((int(name) for name in names if name.isdecimal()), default=None)
    if newest is None:
        way_out = f"no checkpoint in {output} holds one, and a search goes on in the output_dir where it began"
    else:
        way_out = f"the newest checkpoint with one is {output / f'checkpoint-{newest}'}, resume from that"
    raise InputError(
        f"the training goes on at step {step}, but there is no search to go on in {checkpoint}: {way_out};"
        f" {_AFTER_THE_DRAW}"
    )


def refuse_before_the_draw(output: Path, step: int) -> None:
    """Refuse to train the pruned model from a checkpoint of the whole one, which holds the search.

    The Trainer loads no weights when it begins again with smaller batches (`auto_find_batch_size`), but the optimizer's
    state.

    Raises:
        InputError: the checkpoint of that step is from before the draw.
    """
    checkpoint = output / f"checkpoint-{step}"
    if step and (checkpoint / SEARCH_STATE).is_file():
        raise InputError(
            f"the training begins again at {checkpoint}, which is from before the draw, but the model is pruned by now:"
            " resume from there by a new Trainer with the whole model, in batches that fit"
            " (per_device_train_batch_size)"
        )


def refuse_another(model: nn.Module, checkpoint: Path) -> None:
    """Refuse a model whose weights were loaded from another checkpoint, as far as the names are the same.

    Raises:
        InputError: a tensor of the model is not the checkpoint's.
    """
    tensors = model.state_dict()
    for path in _weights(model, checkpoint):
        with safe_open(path, "pt") as file:
            for name in tensors.keys() & file.keys():
                if not torch.equal(file.get_tensor(name).to(tensors[name]), tensors[name]):
                    raise InputError(
                        f"the training goes on with other weights than those of {checkpoint} ({name} differs), whose"
                        " search would go on: resume from that checkpoint, or in the output_dir of the other one"
                    )


def refuse_pruned(model: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """Pre-hook of `load_state_dict`: refuse what the Trainer, which has no event before that, would fail on.

    Raises:
        InputError: a tensor has another shape than the model's.
    """
    for name, tensor in model.state_dict().items():
        found = state.get(prefix + name, tensor)
        if found.shape != tensor.shape:
            raise InputError(
                f"the checkpoint has {name} in the shape {tuple(found.shape)}, the model in {tuple(tensor.shape)}:"
                f" {_AFTER_THE_DRAW}"
            )


def load_older_names(model: nn.Module, checkpoint: Path) -> None:
    """Load the weights that a checkpoint holds under names of older versions, as it does of a ViT.

    `save_pretrained` writes them so and `from_pretrained` reads them, but the Trainer only warns, and goes on with what
    the model had.

    Raises:
        InputError: the checkpoint lacks tensors of the model under any names.
    """
    found: set[str] = set()
    for path in _weights(model, checkpoint):
        with safe_open(path, "pt") as file:
            found.update(file.keys())
    tensors = model.state_dict(keep_vars=True)
    loaded = {id(tensor) for name, tensor in tensors.items() if name in found}
    own = unwrapped(model)
    ignored = set(getattr(own, "_keys_to_ignore_on_save", None) or ())
    # Of tied ones, which are one tensor, a single name is written.
    lacking = [name for name, tensor in tensors.items() if id(tensor) not in loaded and name not in ignored]
    if not found or not lacking:
        return
    if isinstance(own, PreTrainedModel):
        try:
            with_info: Any = type(own).from_pretrained(
                checkpoint, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
        except Exception as error:  # of a class of the user's own whatever its constructor says
            raise InputError(
                f"{checkpoint} holds weights under older names, and {type(own).__name__}.from_pretrained, which would"
                f" read them, fails: {first_line(error)}"
            ) from error
        again, info = with_info
        own.load_state_dict(again.state_dict())
        lacking = sorted(info["missing_keys"])
    if lacking:
        raise InputError(
            f"{checkpoint} does not hold all weights of the model, which would keep those that it began with: it lacks"
            f" {', '.join(lacking[:4])}"
        )


def loads_by_name(trainer: Trainer) -> bool:
    """Whether a Trainer loads a checkpoint's weights into the model as they are named there."""
    return not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)


def load_best_by_older_names(trainer: Trainer) -> None:
    """After a training that loads its best checkpoint, load what the Trainer did not find under its own names.

    Raises:
        InputError: see `load_older_names`.
    """
    best = trainer.state.best_model_checkpoint
    if trainer.args.load_best_model_at_end and best is not None and isinstance(trainer.model, nn.Module):
        wait_for_all()  # the first may be writing it still
        if loads_by_name(trainer):
            load_older_names(trainer.model, Path(best))


def load_coefficients(search: Search, checkpoint: Path) -> None:
    """Put a checkpoint's coefficients in the place of the newest ones.

    Raises:
        InputError: the checkpoint holds no search on this model.
    """
    coefficients = search.slimming.coefficients
    unused = torch.optim.Adam([own.values for own in coefficients.values()])
    read_search_state(checkpoint / SEARCH_STATE, coefficients, unused, model=search.anatomy.fingerprint, trained=False)


def _weights(model: nn.Module, checkpoint: Path) -> list[Path]:
    """The files with a model's weights; none where there are only adapters, or a process holds only parts of it."""
    if any(is_sharded_tensor(parameter) for parameter in model.parameters()):
        return []
    return sorted(checkpoint.glob("model*.safetensors"))
