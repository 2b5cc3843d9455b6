"""How transformers loads a pruned model: a registered quantizer that resizes the modules before the weights.

`config.json` of a pruned model whose shape its own fields cannot say carries a `quantization_config` that does
(see `earlybird.surgery.pruned_shape`). Without earlybird imported, transformers warns of an unknown method and then
fails, on the mark of what `save` wrote (see `earlybird.checkpoint.load_mark`), on the shapes of what `save_pretrained`
wrote, unless it is told to ignore sizes. This module is imported the moment transformers' own registry is, from within
it: so it may import nothing of transformers but that.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from earlybird.anatomy.config_fields import parts_of
from earlybird.checkpoint import load_mark
from earlybird.errors import InputError
from earlybird.surgery.pruned_shape import FORMAT_VERSION, QUANT_METHOD

if TYPE_CHECKING:
    from torch import Size
    from transformers import PreTrainedModel

    from earlybird.anatomy import Anatomy


# Far more than any attention does.
_MOST_RETURNED = 16


@register_quantization_config(QUANT_METHOD)
class PrunedConfig(QuantizationConfigMixin):
    """The pruned shape of a checkpoint, as `config.json` holds it.

    Args:
        kept: per kind, the units kept in each block.
        key_value_groups: those kept in each attention block; by default no heads share keys and values.
        blocks: per kind, the names of the blocks; by default those of the model, in order.
        returned: what the attention blocks without a head return, by name; see `WithoutHeads`.
        softmax: "standard" or "off_by_one".
        version: of this description.
        quant_method: always "earlybird".

    Raises:
        InputError: anything else.
    """

    def __init__(
        self,
        kept: Mapping[str, list[int]],
        key_value_groups: list[int] | None = None,
        blocks: Mapping[str, list[str]] | None = None,
        returned: Mapping[str, int] | None = None,
        softmax: str = "standard",
        version: int = FORMAT_VERSION,
        quant_method: str = QUANT_METHOD,
    ) -> None:
        if version != FORMAT_VERSION:
            raise InputError(f"the pruned model has format version {version!r}, this earlybird reads {FORMAT_VERSION}")
        if softmax not in ("standard", "off_by_one"):
            raise InputError(f'the pruned model\'s softmax must be "standard" or "off_by_one", got {softmax!r}')
        parts: dict[str, Any] = {
            "kept": kept,
            "key_value_groups": {"heads": key_value_groups or []},
            "blocks": blocks or {},
        }
        for part, value in parts.items():
            if not (isinstance(value, dict) and all(isinstance(counts, list) for counts in value.values())):
                raise InputError(f"the pruned model's config is damaged: {part} must be lists by kind, got {value!r}")
        counts = returned or {}
        if not isinstance(counts, dict) or not all(
            type(n) is int and 0 <= n <= _MOST_RETURNED for n in counts.values()
        ):
            raise InputError(
                f"the pruned model's config is damaged: returned must hold numbers up to {_MOST_RETURNED}, got"
                f" {reprlib.repr(returned)}"
            )
        self.quant_method = quant_method  # type: ignore[assignment]
        self.version = version
        self.softmax = softmax
        self.kept = kept
        self.key_value_groups = key_value_groups
        self.blocks = blocks or {}
        self.returned = counts


@register_quantizer(QUANT_METHOD)
class PrunedLoader(HfQuantizer):
    """Resizes the modules before the weights are loaded, and leaves an ordinary model behind."""

    requires_calibration = False
    quantization_config: PrunedConfig
    _anatomy: Anatomy
    _shapes: dict[str, Size]
    _frozen: list[str]

    def update_attn_implementation(self, config: Any) -> Any:
        """Take the marks off: of the hooks that are given the config the first, before the weights are looked for."""
        for _, part in parts_of(config, ""):
            if load_mark.is_mark(getattr(part, load_mark.FIELD, None)):
                delattr(part, load_mark.FIELD)
        return config

    # The hook that older releases have there.
    update_tp_plan = update_attn_implementation

    def _process_model_before_weight_loading(self, model: PreTrainedModel, **kwargs: Any) -> PreTrainedModel:
        _refuse_another_class(model)
        self._anatomy = resize(model, self.quantization_config)
        self._shapes = {name: value.shape for name, value in model.state_dict().items()}
        # transformers makes all of them anew, and lets them train.
        self._frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
        return model

    def _process_model_after_weight_loading(self, model: PreTrainedModel, **kwargs: Any) -> PreTrainedModel:
        from transformers import PreTrainedModel

        from earlybird.models.off_by_one import use_off_by_one
        from earlybird.surgery.inner_models import record_shapes
        from earlybird.surgery.input_width import narrow, wanting_width

        # transformers 5.20 takes weights of any shape where there is a quantizer; 5.24 has refused already.
        for name, value in model.state_dict().items():
            if value.shape != self._shapes[name]:
                raise InputError(
                    f"the weights do not fit the config: {name} is {tuple(value.shape)} and should be"
                    f" {tuple(self._shapes[name])}"
                )
        # transformers now takes the model for a quantized one, which Trainer and .half() refuse: undo that.
        self.remove_quantization_config(model)  # type: ignore[no-untyped-call]
        for module in model.modules():
            if isinstance(module, PreTrainedModel):
                module.is_quantized = False  # type: ignore[assignment]
                module.config._is_quantized = False
        if self.quantization_config.softmax == "off_by_one":
            use_off_by_one(model)
        for name in self._frozen:
            model.get_parameter(name).requires_grad_(False)
        # Its shapes are those that it had when this was found.
        for block in wanting_width(model, self._anatomy.attention):
            narrow(model, block)
        record_shapes(model, self._anatomy)
        return model

    @property
    def is_trainable(self) -> bool:
        """A pruned model trains like any other."""
        return True

    def is_serializable(self) -> bool:
        """A pruned model saves like any other."""
        return True


def resize(model: PreTrainedModel, said: PrunedConfig) -> Anatomy:
    """Give a freshly built model (on any device, also meta) the pruned shape; its config is left alone.

    Returns:
        The anatomy of the model as it is now.

    Raises:
        InputError: the shape does not fit the model.
    """
    from earlybird.anatomy import Anatomy
    from earlybird.surgery.plan import plan_surgery
    from earlybird.surgery.pruned_shape import ticket_of_shape
    from earlybird.surgery.remove_units import remove_units

    anatomy = Anatomy.of(model)
    shape: Any = (said.kept, said.key_value_groups, said.blocks)
    plan = plan_surgery(anatomy, ticket_of_shape(anatomy, *shape))
    return remove_units(model, plan, returned={**said.returned})


def _refuse_another_class(model: PreTrainedModel) -> None:
    """A class of ours computes something else than the class of transformers that the config leads to."""
    from transformers import ViTForImageClassification

    from earlybird.models.mean_pooling import MeanPoolingViTForImageClassification as MeanPooling

    saved_as = (getattr(model.config, "architectures", None) or [""])[0]
    if saved_as == MeanPooling.__name__ and type(model) is ViTForImageClassification:
        raise InputError(
            f"this model classifies the mean of its patches, which {type(model).__name__} does not: load it with"
            " earlybird.load(directory)"
        )
