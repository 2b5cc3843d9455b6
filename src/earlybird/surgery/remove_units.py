"""A plan carried out on a model: pruned units removed in place, the result looked at, undone where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from earlybird.anatomy import Anatomy, AttentionBlock, AttentionPattern, MlpBlock
from earlybird.anatomy.flops import parameter_count
from earlybird.anatomy.shared_parameters import refuse_shared_parameters
from earlybird.errors import InputError
from earlybird.surgery.apply_mask import Patterns
from earlybird.surgery.gradient_hooks import refuse_gradient_hooks
from earlybird.surgery.input_width import wanting_width
from earlybird.surgery.model_edit import ModelEdit
from earlybird.surgery.output_check import (
    OutputCheck,
    cannot_be_checked,
    check_key,
    masked,
    mixture_key_of,
    output_check_of,
    output_check_of_mixture,
    output_check_of_model,
)
from earlybird.surgery.plan import SurgeryPlan
from earlybird.surgery.returns import returns_seen


def remove_units(
    model: nn.Module,
    plan: SurgeryPlan,
    *,
    refits: Mapping[str, Tensor] = MappingProxyType({}),
    returned: Mapping[str, int] = MappingProxyType({}),
    patterns: Patterns = (),
    inputs: Mapping[str, Any] | None = None,
) -> Anatomy:
    """Carry out a plan in place, and look at what it left; the model's config is not touched.

    Every block must be found again with its new number of units and every count of heads, the parameters must be as
    many as planned, and one block of each sort must give what it gave masked. Otherwise the model is as it was.

    Args:
        model: itself, without wrappers; on the meta device no outputs are compared.
        plan: made from its anatomy.
        refits: path -> new values of parameters, set before anything is cut, see `compensated`.
        returned: what attention blocks that lose their last head return, where it is known; see `WithoutHeads`.
        patterns: by which that anatomy was found.
        inputs: keyword arguments of the model's forward pass, to compare its outputs masked and pruned, too.

    Returns:
        The anatomy of the model as it is now.

    Raises:
        InputError: a parameter that would be cut is used elsewhere too or has a hook on its gradient, an attention
            cannot be checked, or the model is not as it must be.
    """
    own = dict(model.named_parameters(remove_duplicate=False))
    names = [cut.parameter for cut in plan.cuts if cut.parameter in own]
    refuse_shared_parameters(model, names)
    refuse_gradient_hooks(model, names)
    edit = ModelEdit(model)
    try:
        for path, value in refits.items():
            edit.refit(path, value)
        for attention in plan.untied:
            edit.untie(attention)
        for block, _ in plan.changed:
            if isinstance(block, AttentionBlock):
                edit.select_features(block)
        expected = parameter_count(model)
        with returns_seen(model, plan.emptied) as seen:
            checks = _output_checks(model, plan, patterns, inputs)
        for cut in plan.cuts:
            expected -= edit.cut(cut)
        edit.count_experts(plan.all_mixtures, {mixture.name: mask for mixture, mask in plan.mixtures})
        for block, mask in plan.changed:
            if isinstance(block, AttentionBlock):
                edit.count_heads(block, int(mask.sum()), int(block.kept(mask)[block.units :].sum()))
        for block in plan.emptied:
            edit.stand_in(block, returned[block.name] if block.name in returned else seen.of(block))
        after = Anatomy.of(model, patterns=patterns)
        _refuse_other_counts(model, after, plan)
        if parameter_count(model) != expected:
            raise InputError(
                f"{type(model).__name__} cannot be pruned: it would have {parameter_count(model):,} parameters after"
                f" surgery instead of {expected:,}"
            )
        changed = {block.name for block, _ in plan.changed}
        for attention in wanting_width(model, [block for block in after.attention if block.name in changed]):
            edit.narrow(attention)
        for check in checks:
            check.check(model)
    except Exception:
        edit.undo()
        raise
    edit.keep()
    return after


def _output_checks(
    model: nn.Module, plan: SurgeryPlan, patterns: Patterns, inputs: Mapping[str, Any] | None
) -> list[OutputCheck]:
    """One check of each sort of block that loses units, and of the whole on inputs; none without weights.

    Raises:
        InputError: an attention cannot be run by itself, is not described by the user, and not seen on inputs.
    """
    emptied = {block.name: block for block in plan.emptied if isinstance(block, AttentionBlock)}
    if any(parameter.is_meta for parameter in model.parameters()):
        # What an attention returns shows without weights, too.
        for attention in {type(model.get_submodule(each.owner)): each for each in emptied.values()}.values():
            output_check_of(model, attention)
        return []
    vouched = tuple(pattern.query for pattern in patterns if isinstance(pattern, AttentionPattern))
    sorts: dict[tuple[Any, ...], OutputCheck | None] = {}
    routed = {mixture.name for mixture, _ in plan.mixtures}
    with masked(model, plan.changed, plan.mixtures):
        for mixture, _ in plan.mixtures:
            if (mixture_key := mixture_key_of(model, mixture)) not in sorts:
                sorts[mixture_key] = output_check_of_mixture(model, mixture)
                if sorts[mixture_key] is None and inputs is None:
                    raise cannot_be_checked(model, mixture)
        for block, _ in plan.changed:
            if block.name in routed:
                continue
            if (key := (*check_key(model, block), block.name in emptied)) in sorts:
                continue
            sorts[key] = output_check_of(model, block, emptied=block.name in emptied)
            unchecked = sorts[key] is None and inputs is None
            if unchecked and isinstance(block, AttentionBlock) and not block.query.endswith(vouched):
                raise cannot_be_checked(model, block)
            if sorts[key] is None and isinstance(block, MlpBlock) and block.experts:
                raise cannot_be_checked(model, block)
        if inputs is not None:
            sorts[(model,)] = output_check_of_model(model, inputs)
    return [check for check in sorts.values() if check is not None]


def _refuse_other_counts(model: nn.Module, after: Anatomy, plan: SurgeryPlan) -> None:
    """Refuse unless a model just pruned is found again block by block, with the counts that were to be kept."""
    found = {(type(block), block.name): block for block in after.blocks}
    gone = {(block.kind, block.name) for block in after.gone}
    experts = {mixture.name: mixture.units for mixture in after.mixtures}
    for mixture, mask in plan.mixtures:
        if experts.get(mixture.name) != int(mask.sum()):
            raise InputError(
                f"{type(model).__name__} cannot be pruned: after surgery {mixture.name} has"
                f" {experts.get(mixture.name, 'no')} experts where it should have {int(mask.sum())}"
            )
    for block, mask in plan.blocks:
        expected = int(mask.sum())
        if not expected and ("heads" if isinstance(block, AttentionBlock) else "neurons", block.name) in gone:
            continue
        again = found.get((type(block), block.name))
        if again is None or again.units != expected:
            seen = "is not found any more" if again is None else f"has {again.units} units"
            left = next((f" ({left.reason})" for left in after.left_out if left.name == block.name), "")
            raise InputError(
                f"{type(model).__name__} cannot be pruned: after surgery {block.name} {seen} where it should have"
                f" {expected}{left}"
            )
