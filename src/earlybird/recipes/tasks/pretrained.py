"""A pretrained model, with a new head or its own, and its tokenizer: from a directory or the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, set_seed

from earlybird.checkpoint.foreign_code import refuse_files_of_weights, refuse_kernels
from earlybird.errors import InputError, first_line
from earlybird.recipes.tasks.position_limit import position_limit

# What transformers raises for a model that is not there, is damaged, or is of a family without the task's head.
FAILURES = (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError, SafetensorError)


def pretrained_config(name: str, labels: int | Sequence[str]) -> PreTrainedConfig:
    """The config of a pretrained model, with a head for these labels (names, or so many outputs without a name).

    Raises:
        InputError: there is no such model, or its config names code or a file of weights.
    """
    _refuse_code(name)
    names = [f"LABEL_{index}" for index in range(labels)] if isinstance(labels, int) else labels
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            name,
            id2label=dict(enumerate(names)),
            label2id={label: index for index, label in enumerate(names)},
            trust_remote_code=False,
        )
    except FAILURES as error:
        raise InputError(not_found(name, "model", error)) from error
    return config


def with_new_head(auto_class: Any, name: str, config: PreTrainedConfig, seed: int) -> PreTrainedModel:
    """A pretrained model in float32 whose head is drawn by the seed, whatever head the checkpoint had.

    What belongs to the backbone but is missing in the checkpoint (a pooler, as after masked-language
    pretraining) is drawn by the seed too.

    Args:
        auto_class: the `AutoModelFor...` of the task.
        name: directory or hub name.
        config: see `pretrained_config`.
        seed: of the head.

    Raises:
        InputError: there are no such weights in safetensors files, they do not fit their config, or the family
            has no model for the task.
    """
    set_seed(seed)
    try:
        fresh = auto_class.from_config(config, trust_remote_code=False)
        set_seed(seed)
        loaded, report = auto_class.from_pretrained(
            name,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            trust_remote_code=False,
        )
    except FAILURES as error:
        raise InputError(not_found(name, "model", error)) from error
    model: PreTrainedModel = loaded
    backbone = f"{model.base_model_prefix}."
    missing = [key for key in report["missing_keys"] if key.startswith(backbone) and ".pooler." not in key]
    mismatched = [key for key, *shapes in report["mismatched_keys"] if key.startswith(backbone)]
    wrong = sorted([*missing, *mismatched])
    if wrong:
        raise InputError(f"the weights in {name} do not fit its config: {', '.join(wrong[:4])}")
    new = dict(fresh.named_parameters())
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if not key.startswith(backbone):
                parameter.copy_(new[key])
    return model


def as_it_is(auto_class: Any, name: str) -> PreTrainedModel:
    """A pretrained model in float32 with the head that it has.

    Args:
        auto_class: the `AutoModelFor...` of the task.
        name: directory or hub name.

    Raises:
        InputError: there are no such weights in safetensors files, they do not fit their config, or the family has no
            model for the task.
    """
    _refuse_code(name)
    try:
        loaded, report = auto_class.from_pretrained(
            name, dtype=torch.float32, use_safetensors=True, output_loading_info=True, trust_remote_code=False
        )
    except FAILURES as error:
        raise InputError(not_found(name, "model", error)) from error
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"the weights in {name} do not fit its config: {', '.join(missing[:4])}")
    model: PreTrainedModel = loaded
    return model


def refuse_seeing_ahead(model: PreTrainedModel, name: str) -> None:
    """Refuse a model whose prediction of a token depends on later ones: an encoder that has a head for words.

    Raises:
        InputError: it is one.
    """
    words: Any = model.get_input_embeddings()
    size = words.weight.shape[0]
    texts = torch.arange(4)[None] % size, torch.tensor([[0, 1, 2, min(4, size - 1)]]) % size
    with torch.no_grad():
        first, second = (model.eval()(input_ids=text).logits[:, 0] for text in texts)
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-4 * float(first.abs().max())):
        raise InputError(
            f"{name} is no decoder: what {type(model).__name__} says of a token depends on those behind it, the answer"
            " among them; choose a model for text generation"
        )


def _refuse_code(name: str) -> None:
    """Raise InputError if there is no such config, or it names code or a file of weights."""
    try:
        written, _ = PreTrainedConfig.get_config_dict(name)
    except FAILURES as error:
        raise InputError(not_found(name, "model", error)) from error
    refuse_kernels(written, f"the config at {name}")
    refuse_files_of_weights(written, f"the config at {name}")


def pretrained_tokenizer(name: str, max_length: int, texts: int) -> PreTrainedTokenizerBase:
    """The tokenizer of a pretrained model, for examples of one text or two of up to `max_length` tokens in all.

    Raises:
        InputError: there is none, or it cannot pad, or `max_length` is more than the tokenizer is for or leaves no
            token for each text.
    """
    tokenizer = _tokenizer(name)
    if tokenizer.pad_token is None:
        raise InputError(f"the tokenizer of {name} has no padding token, so that texts cannot be gathered into batches")
    _check_tokenizer_length(tokenizer, name, max_length)
    special = tokenizer.num_special_tokens_to_add(pair=texts == 2)
    if max_length < special + texts:
        raise InputError(
            f"model.max_length must be at least {special + texts} tokens for {name}: {special} of them are special,"
            f" and one for each text, got {max_length}"
        )
    return tokenizer


def decoder_tokenizer(name: str, max_length: int) -> PreTrainedTokenizerBase:
    """The tokenizer of a pretrained decoder, for examples of up to `max_length` tokens.

    Raises:
        InputError: there is none, or it has no end token, or `max_length` is more than it is for.
    """
    tokenizer = _tokenizer(name)
    if tokenizer.eos_token_id is None:
        raise InputError(f"the tokenizer of {name} has no end token (eos_token), so that no answer could end")
    _check_tokenizer_length(tokenizer, name, max_length)
    return tokenizer


def _tokenizer(name: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except FAILURES as error:
        raise InputError(not_found(name, "tokenizer", error)) from error
    return tokenizer


def _check_tokenizer_length(tokenizer: PreTrainedTokenizerBase, name: str, max_length: int) -> None:
    if max_length > tokenizer.model_max_length:
        raise _too_long(name, tokenizer.model_max_length, max_length)


def check_length(model: PreTrainedModel, name: str, max_length: int) -> None:
    """Check that a model can read texts of `max_length` tokens, whatever its tokenizer says.

    Raises:
        InputError: its table of positions ends before.
    """
    limit = position_limit(model)
    if limit is not None and max_length > limit:
        raise _too_long(name, limit, max_length)


def _too_long(name: str, limit: int, max_length: int) -> InputError:
    return InputError(f"model.max_length must be at most {limit} tokens for {name}, got {max_length}")


def not_found(name: str, what: str, error: Exception) -> str:
    """The sentence on a part of a pretrained model that could not be loaded."""
    if Path(name).exists():
        return f"model.pretrained {name} holds no {what} that can be used here: {first_line(error)}"
    return (
        f"model.pretrained {name} is neither a directory (seen from {Path.cwd()}) nor a {what} that could be fetched"
        f" from the Hugging Face hub ({type(error).__name__}: {first_line(error)}); check the name, or fetch it"
        " ahead where there is a network with `earlybird data RECIPE`"
    )
