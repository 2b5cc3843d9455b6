"""Find the part of a Transformer worth keeping early in training, and train only that.

The public names; each is imported when it is first used, so that `import earlybird` costs neither torch nor
transformers. What transformers must know to load a pruned model is registered when transformers is imported, before
or after this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wrapt import when_imported

__version__ = "0.1.0"

if TYPE_CHECKING:
    from earlybird.anatomy import Anatomy
    from earlybird.checkpoint.load import load
    from earlybird.checkpoint.save import save
    from earlybird.config import CompensationConfig, DetectorConfig, PruningConfig, SearchConfig, SlimmingConfig
    from earlybird.criteria import captured, hamming_distance, nuclear_norm, overlap
    from earlybird.detectors.draw import Draw
    from earlybird.detectors.offline import detect
    from earlybird.errors import InputError, JobError
    from earlybird.exports.export import export
    from earlybird.masks import mask_at_ratio
    from earlybird.search.recording import Recording
    from earlybird.search.search import Search
    from earlybird.surgery.apply_mask import apply_mask
    from earlybird.surgery.prune import prune
    from earlybird.surgery.sharded import prune_sharded
    from earlybird.surgery.verify import verify
    from earlybird.ticket import Ticket
    from earlybird.trajectory import Trajectory

_HOMES = {
    "Anatomy": "anatomy",
    "CompensationConfig": "config",
    "DetectorConfig": "config",
    "Draw": "detectors.draw",
    "InputError": "errors",
    "JobError": "errors",
    "PruningConfig": "config",
    "Recording": "search.recording",
    "Search": "search.search",
    "SearchConfig": "config",
    "SlimmingConfig": "config",
    "Ticket": "ticket",
    "Trajectory": "trajectory",
    "apply_mask": "surgery.apply_mask",
    "captured": "criteria",
    "detect": "detectors.offline",
    "export": "exports.export",
    "hamming_distance": "criteria",
    "load": "checkpoint.load",
    "mask_at_ratio": "masks",
    "nuclear_norm": "criteria",
    "overlap": "criteria",
    "prune": "surgery.prune",
    "prune_sharded": "surgery.sharded",
    "save": "checkpoint.save",
    "verify": "surgery.verify",
}

__all__ = [
    "Anatomy",
    "CompensationConfig",
    "DetectorConfig",
    "Draw",
    "InputError",
    "JobError",
    "PruningConfig",
    "Recording",
    "Search",
    "SearchConfig",
    "SlimmingConfig",
    "Ticket",
    "Trajectory",
    "apply_mask",
    "captured",
    "detect",
    "export",
    "hamming_distance",
    "load",
    "mask_at_ratio",
    "nuclear_norm",
    "overlap",
    "prune",
    "prune_sharded",
    "save",
    "verify",
]


@when_imported("transformers.quantizers.auto")
def _register(module: Any) -> None:
    """Tell transformers how to load a pruned model."""
    import_module("earlybird.checkpoint.quantizer")


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'earlybird' has no attribute {name!r}")
    value = getattr(import_module(f"earlybird.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
