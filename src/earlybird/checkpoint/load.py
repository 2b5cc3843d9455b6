"""Loading what `earlybird.save` wrote: weights, shape and config have to fit one another."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import transformers
from transformers import PreTrainedModel

from earlybird.checkpoint import integrity, load_mark
from earlybird.checkpoint.claimed_size import refuse_larger_than_weights
from earlybird.checkpoint.foreign_code import refuse_files_of_weights, refuse_kernels
from earlybird.checkpoint.model_files import at_rest
from earlybird.checkpoint.no_model import refuse_no_place, why_no_model
from earlybird.errors import InputError, first_line
from earlybird.models.mean_pooling import MeanPoolingViTForImageClassification
from earlybird.surgery.pruned_shape import is_ours


def load(directory: str | os.PathLike[str], *, dtype: Any = "auto") -> PreTrainedModel:
    """Load what `save` wrote, on the CPU and in evaluation mode.

    A save that was killed while its files moved into the directory is finished first. A save by another process of
    this machine waits until the model is read, so that it is the old one or the new one.

    Args:
        directory: holds config.json and safetensors files. Names on the hub are for transformers' from_pretrained.
        dtype: a torch dtype, or "auto" for the saved one.

    Raises:
        InputError: no model is there, its config is damaged, names code or files that are not read, or claims a
            larger model than the weights, or these are missing, were changed after they were saved, or do not fit it;
            or a save was interrupted and cannot be finished there.
    """
    refuse_no_place(directory)
    with at_rest(Path(directory)):
        return _load(directory, dtype)


def _load(directory: str | os.PathLike[str], dtype: Any) -> PreTrainedModel:
    if reason := why_no_model(directory):
        raise InputError(reason)
    source = Path(directory)
    config_file = source / "config.json"
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{config_file} is damaged: {error!r}") from error
    if not isinstance(config, dict) or not isinstance(config.get("architectures") or [], list):
        raise InputError(f"{config_file} is damaged: it is not the config of a model")
    architecture = next(iter(config.get("architectures") or []), None)
    if architecture is None:
        raise InputError(
            f"{config_file} names no architecture, the class of transformers that reads the weights: load the directory"
            " by the right class's from_pretrained, and save that model by earlybird.save"
        )
    refuse_kernels(config, str(config_file))
    refuse_files_of_weights(config, str(config_file))
    if config.get(load_mark.FIELD) is not None and not is_ours(config.get("quantization_config")):
        lost = config[load_mark.FIELD] not in (load_mark.PER_LAYER, load_mark.INTERIM)
        raise InputError(
            f"{config_file} has lost its quantization_config, which holds the pruned shape: take it from the original,"
            " or save the model again"
            if lost
            else f"{config_file} describes no model that can be loaded: {config[load_mark.FIELD]}"
        )
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


def _class_of(architecture: Any, config_file: Path) -> type[PreTrainedModel]:
    ours = {MeanPoolingViTForImageClassification.__name__: MeanPoolingViTForImageClassification}
    found = ours.get(str(architecture)) or getattr(transformers, str(architecture), None)
    if not (isinstance(found, type) and issubclass(found, PreTrainedModel)):
        raise InputError(f"{config_file} names the architecture {architecture!r}, which transformers does not know")
    return found
