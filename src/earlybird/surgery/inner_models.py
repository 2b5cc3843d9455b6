"""Every Hugging Face model in a module says its shape, so that whatever saves one of them writes what loads."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from torch import nn

from earlybird.anatomy import Anatomy
from earlybird.anatomy.block_config import BlockConfig
from earlybird.anatomy.config_fields import parts_of
from earlybird.anatomy.hugging_face import models_with_own_config, outermost_models
from earlybird.errors import InputError
from earlybird.surgery.apply_mask import Patterns
from earlybird.surgery.pruned_shape import record_shape, remove_mark

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def record_shapes(module: nn.Module, anatomy: Anatomy, patterns: Patterns = ()) -> None:
    """Make the configs of the Hugging Face models in a module say the shapes that they have.

    A model inside another one (a tower of CLIP, the encoder of an encoder-decoder) that has a config of its own can be
    saved alone, so it says its shape, too.

    Args:
        module: as it is now; a Hugging Face model, or what holds any.
        anatomy: its own.
        patterns: of families that earlybird does not know.
    """
    for model in outermost_models(module).values():
        said_plainly = not record_shape(model, anatomy) if model is module else _record(model, patterns)
        for part in models_with_own_config(model)[1:]:
            # transformers reads a mark of the text part as one of the whole, so there is none unless the whole has one.
            if said_plainly:
                remove_mark(part.config)
            else:
                _record(part, patterns)


def give_own_configs(module: nn.Module) -> None:
    """Give each Hugging Face model in a module, itself or inside, a config that no other model has.

    Several models may have been built from one config, a teacher beside its student for instance, and what one of them
    says of its shape does not hold of the others.
    """
    for model in outermost_models(module).values():
        own = copy.deepcopy(model.config)
        parts = zip(parts_of(model.config, ""), parts_of(own, ""), strict=True)
        replaced = {id(old): new for (_, old), (_, new) in parts}
        for each in model.modules():
            config = getattr(each, "config", None)
            if isinstance(config, BlockConfig):
                if new := replaced.get(id(config.shared)):
                    each.config = BlockConfig(new, config.counts)  # type: ignore[assignment]
            elif new := replaced.get(id(config)):
                each.config = new  # type: ignore[assignment]


def _record(model: PreTrainedModel, patterns: Patterns) -> bool:
    """Whether the config's own fields say it, or there is nothing to say."""
    try:
        anatomy = Anatomy.of(model, patterns=patterns)
    except InputError:  # a model without blocks
        return True
    return not record_shape(model, anatomy)
