"""What looks like a block and matched no pattern; what to say when nothing did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from earlybird.anatomy.blocks import AttentionBlock, GoneBlock, LeftOut, MlpBlock
from earlybird.anatomy.paths import below
from earlybird.anatomy.patterns import ATTENTION_PATTERNS, MLP_PATTERNS
from earlybird.anatomy.quantized import quantized_inside
from earlybird.anatomy.wrappers import is_adapted

ATTENTION_WORDS = ("attention", "attn")
ATTENTION_NAMES = ("attention", "attn", "self_attn")
MLP_WORDS = ("mlp", "feedforward", "feed_forward", "ffn", "experts")
_DESCRIBE = (
    "describe them by Anatomy.of(model, patterns=[AttentionPattern(query=..., key=..., value=..., output=...),"
    " MlpPattern(inputs=(...), output=...)]) from earlybird.anatomy"
)


def unknown_blocks(
    modules: Mapping[str, nn.Module],
    attention: Sequence[AttentionBlock],
    mlp: Sequence[MlpBlock],
    gone: Sequence[GoneBlock],
    left: Sequence[LeftOut],
) -> list[LeftOut]:
    """Modules that call themselves attention, MLP or experts and belong to no block found."""
    attended = [path for a in attention for path in (a.query, a.key, a.value, a.output)]
    attended += [path for block in gone if block.kind == "heads" for path in block.projections]
    paths = [*attended, *(path for m in mlp for path in (*m.inputs, m.output))]
    paths += [path for block in gone for path in block.projections]
    paths += [known.name for known in left]
    # The module that holds an MLP may be a whole layer, with attention in it that is not known.
    names = [*(block.name for block in attention), *(known.name for known in left)]
    names += [block.name for block in gone if block.kind == "heads"]
    result: list[LeftOut] = []
    for name, module in modules.items():
        kind = type(module).__name__.lower()
        called = name.rpartition(".")[2] in ATTENTION_NAMES
        if not called and not any(word in kind for word in (*ATTENTION_WORDS, *MLP_WORDS)):
            continue
        if not any(parameter.ndim >= 2 for parameter in module.parameters()):
            continue
        inside = [path for path in paths if path == name or path.startswith(below(name, ""))]
        around = [path for path in names if name == path or name.startswith(below(path, ""))]
        # An attention pool holds an MLP beside projections that are not known.
        pool = called or any(word in kind for word in ATTENTION_WORDS)
        pool &= set(inside).isdisjoint(attended) and _holds_others(module, name, paths)
        if (inside and not pool) or around:
            continue
        names.append(name)
        result.append(LeftOut(name, _reason(module, kind)))
    return result


def _holds_others(module: nn.Module, name: str, paths: Sequence[str]) -> bool:
    children = module.named_children()
    return any(isinstance(child, nn.Linear) and below(name, called) not in paths for called, child in children)


def _reason(module: nn.Module, kind: str) -> str:
    if isinstance(module, nn.MultiheadAttention):
        return (
            "torch.nn.MultiheadAttention takes the size of a head for its width divided by its heads, so it cannot"
            " hold fewer; give the model an attention with projections of its own (q_proj, k_proj, v_proj, out_proj)"
        )
    if "experts" in kind:
        return "the experts of this mixture are stored in a way that is not known, and their neurons are not pruned"
    for name, part in module.named_modules():
        if is_adapted(part):
            return (
                f"{name} is wrapped by {type(part).__module__}.{type(part).__name__}, and of adapters only plain LoRA"
                " on weights that are not quantized is known: merge it into the weights first (merge_and_unload()), and"
                " dequantize these"
            )
    if (quantized := quantized_inside(module)) is not None:
        return quantized
    return f"{type(module).__name__} fits no known naming pattern"


def nothing_found(model: nn.Module, modules: Mapping[str, nn.Module], left: Sequence[LeftOut]) -> str:
    """The sentence for a model without a block to prune."""
    if (quantized := quantized_inside(model)) is not None:
        return f"found no block of {type(model).__name__} to prune: {quantized}"
    names = sorted({name.rsplit(".", 1)[-1] for name, m in modules.items() if isinstance(m, nn.Linear)})
    known = (*(p.paths for p in ATTENTION_PATTERNS[:4]), *((*p.inputs, p.output) for p in MLP_PATTERNS[:4]))
    reasons = f"; left out: {'; '.join(map(str, left[:4]))}" if left else ""
    return (
        f"found neither attention nor MLP blocks in {type(model).__name__}; its linear modules are called"
        f" {', '.join(names[:12]) or 'nothing: there are none'}, and earlybird knows"
        f" {'; '.join(', '.join(paths) for paths in known)} and more{reasons}; {_DESCRIBE}"
    )
