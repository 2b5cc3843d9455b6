"""How transformers loads a pruned model: a registered quantizer that resizes the modules before the weights.

`config.json` of a pruned model carries `quantization_config = {"quant_method": "earlybird", "kept": {...}}`. It is
transformers' documented way in for a foreign checkpoint layout; nothing is quantized. Without earlybird
imported, transformers warns of an unknown method and then fails on the shapes, never silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from earlybird import off_by_one
from earlybird.anatomy import Anatomy
from earlybird.errors import InputError
from earlybird.surgery import prune
from earlybird.ticket import Ticket
from earlybird.trajectory import KINDS, Kind

QUANT_METHOD = "earlybird"
FORMAT_VERSION = 1


def pruned_config(model: PreTrainedModel) -> dict[str, Any]:
    """What `config.json` says of a pruned model: units kept per block, in the anatomy's order; its softmax."""
    return {
        "quant_method": QUANT_METHOD,
        "version": FORMAT_VERSION,
        "kept": {kind: list(units) for kind, units in Anatomy.of(model).units.items()},
        "softmax": "off_by_one" if off_by_one.is_used(model) else "standard",
    }


def resize(model: PreTrainedModel, kept: Mapping[Kind, list[int]]) -> None:
    """Shrink a freshly built model (on any device, also meta) to so many units per block.

    Raises:
        InputError: the counts do not fit the model.
    """
    anatomy = Anatomy.of(model)
    masks: dict[Kind, NDArray[np.bool_]] = {}
    for kind, counts in kept.items():
        units = anatomy.units.get(kind, ())
        fits = len(counts) == len(units) and all(
            type(count) is int and 0 < count <= full for count, full in zip(counts, units, strict=False)
        )
        if not fits:
            raise InputError(
                f"the config says that {counts} {kind} were kept, but the model's blocks have {list(units)}"
            )
        masks[kind] = np.arange(max(units)) < np.asarray(counts)[:, None]
    prune(model, Ticket.of(anatomy, masks, how="given"))


@register_quantization_config(QUANT_METHOD)
class PrunedConfig(QuantizationConfigMixin):
    """The pruned shape of a checkpoint, as `config.json` holds it."""

    def __init__(
        self,
        kept: Mapping[str, list[int]],
        softmax: str = "standard",
        version: int = FORMAT_VERSION,
        quant_method: str = QUANT_METHOD,
    ) -> None:
        if version != FORMAT_VERSION:
            raise InputError(f"the pruned model has format version {version!r}, this earlybird reads {FORMAT_VERSION}")
        self.quant_method = quant_method  # type: ignore[assignment]
        self.version = version
        self.softmax = softmax
        self.kept = {kind: list(kept[kind]) for kind in KINDS if kind in kept}


@register_quantizer(QUANT_METHOD)
class PrunedLoader(HfQuantizer):
    """Resizes the modules before the weights are loaded, and leaves an ordinary model behind."""

    requires_calibration = False
    quantization_config: PrunedConfig

    def _process_model_before_weight_loading(self, model: PreTrainedModel, **kwargs: Any) -> PreTrainedModel:
        resize(model, self.quantization_config.kept)
        return model

    def _process_model_after_weight_loading(self, model: PreTrainedModel, **kwargs: Any) -> PreTrainedModel:
        # transformers now takes the model for a quantized one, which Trainer and .half() refuse: undo that,
        # and keep the plain dictionary so that save_pretrained writes it again.
        plain = self.quantization_config.to_dict()
        self.remove_quantization_config(model)  # type: ignore[no-untyped-call]
        for module in model.modules():
            if isinstance(module, PreTrainedModel):
                module.is_quantized = False  # type: ignore[assignment]
                module.config._is_quantized = False
        model.config.quantization_config = plain
        if plain["softmax"] == "off_by_one":
            off_by_one.use_off_by_one(model)
        return model

    @property
    def is_trainable(self) -> bool:
        """A pruned model trains like any other."""
        return True

    def is_serializable(self) -> bool:
        """A pruned model saves like any other."""
        return True
