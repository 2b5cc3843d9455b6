"""A pruned model for tools that do not know earlybird."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from earlybird.errors import InputError
from earlybird.ticket import Ticket

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from earlybird.checkpoint.model_files import Processor

ExportFormat = Literal["dense", "onnx", "per-layer-config"]


def export(
    model: PreTrainedModel,
    directory: str | os.PathLike[str],
    format: ExportFormat = "dense",
    *,
    ticket: Ticket | None = None,
    processor: Processor | None = None,
) -> Path:
    """Write a pruned model in a format that needs no earlybird to be read; the model is unchanged.

    - "dense": the original shape, with zeros where units were removed. Whatever loads the original loads it, and
      computes what the pruned model computes; nothing is smaller.
    - "onnx": model.onnx, for encoders and decoders that take input ids or pixel values; it takes batches and
      sequences of any size. A decoder's gives the logits of a whole text, without a cache of keys and values. Needs
      the extra: pip install 'earlybird[onnx]'.
    - "per-layer-config": the pruned weights, and a config.json whose `per_layer_config` says the shape of each layer
      (transformers 5.14 and newer, for servers that read it; transformers' own models refuse it, whatever sizes they
      are told to ignore). Neurons in most families that count their layers from 0 to the last (no encoder-decoders),
      heads in those with a size of a head of their own. It is read back before anything is written.

    Of several processes the first writes. The others may call, too: they wait for it, and fail where it fails.

    Args:
        model: a pruned Hugging Face model.
        directory: made if needed; what it holds of the same names is replaced. "onnx" may be written beside the model.
        format: "dense", "onnx" or "per-layer-config".
        ticket: by which the model was pruned. For "dense" it says where the removed units were; without it the units
            kept come first in each block.
        processor: the tokenizer or image processor, to be saved beside the model.

    Returns:
        The directory.

    Raises:
        InputError: another format, a model that the format cannot hold, or the directory that it was loaded from.
            Nothing is written then.
    """
    from earlybird.anatomy.distributed import by_the_first
    from earlybird.checkpoint.save import directory_for, writable

    model = writable(model)
    target = directory_for(directory)
    source = model.name_or_path
    if format != "onnx" and source and target.is_dir() and target.resolve() == Path(source).resolve():
        raise InputError(f"{target} holds the model itself; give another directory to export to")

    def write() -> None:
        if format == "dense":
            from earlybird.exports.dense import write_dense

            write_dense(model, target, ticket, processor)
        elif format == "onnx":
            from earlybird.exports.onnx import write_onnx

            write_onnx(model, target)
            if processor is not None:
                processor.save_pretrained(target)
        elif format == "per-layer-config":
            from earlybird.exports.per_layer_config import write_per_layer_config

            write_per_layer_config(model, target, processor)
        else:
            raise InputError(f'format must be "dense", "onnx" or "per-layer-config", got {format!r}')

    by_the_first(write)
    return target
