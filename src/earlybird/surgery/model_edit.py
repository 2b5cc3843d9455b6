"""Changes to a model that can be undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from earlybird.anatomy import AttentionBlock, Block
from earlybird.anatomy.block_config import with_counts
from earlybird.anatomy.blocks import Counted, Mixture
from earlybird.anatomy.mixtures import COUNTS_IN_MODELS
from earlybird.anatomy.paths import below, is_in, tensor_at
from earlybird.anatomy.projections import resize
from earlybird.anatomy.without_heads import Conv1DWithoutInputs, WithoutHeads
from earlybird.anatomy.wrappers import is_lora
from earlybird.surgery.input_width import narrow
from earlybird.surgery.norms_over_heads import select_features
from earlybird.surgery.plan import Cut, unread
from earlybird.surgery.position_bias import is_untied, tie_again, untie
from earlybird.surgery.router_mask import MaskedRouter, keep_of_mask


class ModelEdit:
    """Cuts parameters, sets counts of heads, unties position biases, and remembers how to go back."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._undo: list[Callable[[], None]] = []

    def undo(self) -> None:
        """Leave the model as it was before the first change."""
        while self._undo:
            self._undo.pop()()

    def keep(self) -> None:
        """Forget how to go back, and with it the parameters that are gone."""
        self._undo.clear()

    def untie(self, block: AttentionBlock) -> None:
        """Make an attention's position bias independent of the heads that other layers keep."""
        if not is_untied(self._model.get_submodule(block.owner)):
            untie(self._model, block)
            self._undo.append(lambda: tie_again(self._model, block))

    def select_features(self, block: AttentionBlock) -> None:
        """Let an attention go on, after a norm over all heads, with the features of the heads that it keeps."""
        self._undo += [undo for path in block.norms for undo in select_features(self._model.get_submodule(path))]

    def narrow(self, block: AttentionBlock) -> None:
        """Make an attention take its width from the heads that it has, not from its input."""
        self._undo += narrow(self._model, block)

    def cut(self, cut: Cut) -> int:
        """Keep a slice of a parameter or buffer; returns how many numbers of a parameter went."""
        path, _, name = cut.parameter.rpartition(".")
        module = self._model.get_submodule(path)
        old = getattr(module, name)
        assert isinstance(old, Tensor)
        kept = cut.of(old.detach()).clone()
        new = nn.Parameter(kept, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else kept
        self._set(path, name, new)
        self._resize(path)
        return old.numel() - kept.numel() if isinstance(old, nn.Parameter) else 0

    def refit(self, path: str, value: Tensor) -> None:
        """Give a parameter other values, of its own shape."""
        parameter = self._model.get_parameter(path)
        old = parameter.detach().clone()

        def let(values: Tensor) -> None:
            with torch.no_grad():
                parameter.copy_(values)
            # Autocast keeps copies of weights, by their identity.
            torch.clear_autocast_cache()

        let(value)
        self._undo.append(lambda: let(old))

    def count_heads(self, block: AttentionBlock, heads: int, groups: int) -> None:
        """Let every attribute that counts a block's heads say the new number."""
        counts: dict[Counted, int] = {
            "heads": heads,
            "groups": groups,
            "ratio": heads // groups if groups else block.heads_per_group,
            "width": heads * block.unit_size,
            "value width": heads * block.value_size,
            "group width": groups * block.unit_size,
        }
        for count in block.head_counts:
            path, _, attribute = count.path.rpartition(".")
            if count.in_config:
                config = self._model.get_submodule(path).config
                self._set(path, "config", with_counts(config, {attribute: counts[count.counted]}))
            elif count.counted == "bias shape":
                shape = getattr(self._model.get_submodule(path), attribute)
                self._set(path, attribute, (*shape[:-1], heads))
            else:
                self._set(path, attribute, counts[count.counted])

    def count_experts(self, mixtures: Sequence[Mixture], masks: Mapping[str, NDArray[np.bool_]]) -> None:
        """Let every attribute that counts the experts of mixtures say the new number.

        So do those of the Hugging Face models around them, which balance the load of all, where all mixtures in them
        hold equally many.

        Args:
            mixtures: of the model, as they were.
            masks: of those that lose experts, by name.
        """
        left = {each.name: int(masks[each.name].sum()) if each.name in masks else each.units for each in mixtures}
        for mixture in mixtures:
            if mixture.name not in masks:
                continue
            for count in mixture.counts:
                path, _, attribute = count.rpartition(".")
                self._set(path, attribute, left[mixture.name])
            router = self._model.get_submodule(mixture.router)
            if isinstance(router, MaskedRouter):
                self._undo.append(keep_of_mask(router, np.flatnonzero(masks[mixture.name])))
        for path, module in self._model.named_modules():
            inside = {left[each.name] for each in mixtures if is_in(each.owner, path)}
            if len(inside) != 1 or not hasattr(module, "config"):
                continue
            for attribute, value in list(vars(module).items()):
                if attribute in COUNTS_IN_MODELS and type(value) is int and {value} != inside:
                    self._set(path, attribute, *inside)

    def stand_in(self, block: Block, returned: int) -> None:
        """Let a block that has no unit left give the bias of its output projection.

        Args:
            block: as it was; its projections are of no size by now.
            returned: by an attention, see `WithoutHeads`.
        """
        outer = self._model.get_submodule(block.output)
        path = below(block.output, "base_layer") if is_lora(outer) else block.output
        output = self._model.get_submodule(path)
        if type(output) is Conv1D:
            self._replace(path, Conv1DWithoutInputs(output))
        if isinstance(block, AttentionBlock):
            around = below(block.owner, "")
            inside = block.output.removeprefix(around) if block.output.startswith(around) else ""
            attention = self._model.get_submodule(block.owner)
            # Norms of queries and keys, as of Qwen 3, are as wide as a head and have no head to go with.
            own = [name for name, value in attention.named_parameters() if value.numel()]
            own = [name for name in own if not inside or not is_in(name, inside)]
            self._replace(block.owner, WithoutHeads(attention, inside, returned))
            for path in (*unread(block), *(around + name for name in own)):
                self._freeze(path)

    def _freeze(self, path: str) -> None:
        """Let a parameter that nothing reads any more not train: several processes would wait for its gradient."""
        tensor = tensor_at(self._model, path)
        trains = tensor.requires_grad

        def back() -> None:
            tensor.requires_grad_(trains)

        self._undo.append(back)
        tensor.requires_grad_(False)

    def _replace(self, path: str, module: nn.Module) -> None:
        old = self._model.get_submodule(path)
        self._model.set_submodule(path, module.train(old.training))
        self._undo.append(lambda: self._model.set_submodule(path, old))

    def _set(self, path: str, name: str, value: object) -> None:
        module = self._model.get_submodule(path)
        old = getattr(module, name)
        setattr(module, name, value)

        def back() -> None:
            setattr(module, name, old)
            self._resize(path)

        self._undo.append(back)

    def _resize(self, path: str) -> None:
        """Let a projection, and the adapter that may be around it, say the sizes of its weight."""
        for size_of in (path, path.rpartition(".")[0]):
            resize(self._model.get_submodule(size_of))
