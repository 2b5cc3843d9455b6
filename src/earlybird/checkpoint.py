"""Saving and loading a pruned model the Hugging Face way: config.json, safetensors and a model card."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any, Protocol

import transformers
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from earlybird import integrity
from earlybird.anatomy import Anatomy
from earlybird.claimed_size import refuse_larger_than_weights
from earlybird.errors import InputError, first_line
from earlybird.mean_pooling import MeanPoolingViTForImageClassification
from earlybird.model_card import write_card
from earlybird.pruned_shape import record_shape
from earlybird.surgery import refuse_while_slimming
from earlybird.ticket import Ticket
from earlybird.wrappers import is_adapted, unwrapped

_log = logging.getLogger(__name__)


class Processor(Protocol):
    """A tokenizer, an image processor, a feature extractor, or what holds several of them."""

    def save_pretrained(self, save_directory: str | os.PathLike[str], /) -> Any:
        """Write its files into a directory."""


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

    Where the config's own fields can say the pruned shape (see `earlybird.plain_config`), they do, and the
    directory loads in a process that has never seen earlybird.

    Args:
        model: a Hugging Face model, pruned or not, of any dtype and on any device.
        directory: made if needed; what it holds of the same names is replaced.
        ticket: by which the model was pruned, for the model card.
        accuracy: in percent, for the model card.
        processor: the tokenizer or image processor, to be saved beside the model; `pipeline` needs it there.
        max_shard_size: of a weights file, in bytes or as text ("5GB").

    Returns:
        The directory.

    Raises:
        InputError: it is a file, the model is none of Hugging Face's, has adapters on it or a search, or the accuracy
            is no percentage.
    """
    model = writable(model)
    target = directory_for(directory)
    if accuracy is not None and not (math.isfinite(accuracy) and 0 <= accuracy <= 100):
        raise InputError(f"accuracy must be a percentage in [0, 100], got {accuracy}")
    anatomy = Anatomy.of(model)
    reason = record_shape(model, anatomy)
    # In one file or in several: what is left of the other would be loaded in place of what is saved now.
    index = target / SAFE_WEIGHTS_INDEX_NAME
    aside = index.with_name(index.name + ".old")
    if index.exists():
        os.replace(index, aside)
    try:
        model.save_pretrained(target, max_shard_size=max_shard_size)
    except BaseException:
        if aside.exists():
            os.replace(aside, index)
        raise
    aside.unlink(missing_ok=True)
    if index.exists():
        (target / SAFE_WEIGHTS_NAME).unlink(missing_ok=True)
    integrity.seal(target)
    if processor is not None:
        processor.save_pretrained(target)
    write_card(model, target, reason=reason, ticket=ticket, accuracy=accuracy)
    if reason and all(len(set(units)) == 1 for units in anatomy.units.values()):
        _log.warning(
            "every block in %s keeps the same number of units, but it loads after `import earlybird` only: %s; for"
            " other tools see earlybird.export",
            target,
            reason,
        )
    return target


def load(directory: str | os.PathLike[str], *, dtype: Any = "auto") -> PreTrainedModel:
    """Load what `save` wrote, on the CPU and in evaluation mode.

    Args:
        directory: holds config.json and safetensors files.
        dtype: a torch dtype, or "auto" for the saved one.

    Raises:
        InputError: no model is there, its config is damaged or claims a larger model than the weights, or these are
            missing, were changed after they were saved, or do not fit the config.
    """
    source = Path(directory)
    config_file = source / "config.json"
    if not config_file.is_file():
        raise InputError(f"{source} holds no model: there is no config.json in it")
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        architecture = config["architectures"][0]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"{config_file} is damaged: {error!r}") from error
    integrity.check(source)
    found = _class_of(architecture, config_file)
    try:
        refuse_larger_than_weights(found, source, config)
        loaded: Any = found.from_pretrained(
            source,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            # What does not fit is said below, in one sentence.
            ignore_mismatched_sizes=True,
        )
    except InputError:
        raise
    except Exception as error:  # a damaged config makes transformers raise nearly anything
        raise InputError(f"{source} cannot be loaded: {first_line(error)}") from error
    model: PreTrainedModel
    model, report = loaded
    wrong = [f"{name} is missing" for name in sorted(report["missing_keys"])]
    wrong += [f"{name} is not part of it" for name in sorted(report["unexpected_keys"])]
    wrong += [
        f"{name} is {tuple(found)} and should be {tuple(said)}"
        for name, found, said in sorted(report["mismatched_keys"])
    ]
    if wrong:
        raise InputError(f"the weights in {source} do not fit its config: {', '.join(wrong[:4])}")
    return model


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
        InputError: it is another model, in the middle of a search, or has adapters beside its weights.
    """
    inner = unwrapped(model) if isinstance(model, nn.Module) else model
    if not isinstance(inner, PreTrainedModel):
        raise InputError(
            f"this needs a Hugging Face model, got {type(model).__name__}; of any other save the ticket and the state"
            " dict, prune a fresh model with the ticket, and let it load the state dict"
        )
    refuse_while_slimming(inner)
    adapted = next((name for name, module in inner.named_modules() if is_adapted(module)), None)
    if adapted is not None:
        raise InputError(
            f"there is an adapter on {adapted}: merge it into the weights, model = model.merge_and_unload(), or keep it"
            " beside them: model.save_pretrained(...) writes the adapter alone, and model.unload() gives the model to"
            " write here"
        )
    return inner


def _class_of(architecture: Any, config_file: Path) -> type[PreTrainedModel]:
    ours = {MeanPoolingViTForImageClassification.__name__: MeanPoolingViTForImageClassification}
    found = ours.get(str(architecture)) or getattr(transformers, str(architecture), None)
    if not (isinstance(found, type) and issubclass(found, PreTrainedModel)):
        raise InputError(f"{config_file} names the architecture {architecture!r}, which transformers does not know")
    return found
