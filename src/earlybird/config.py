"""Every setting of a search, once: what is pruned, when the masks count as settled, how coefficients are trained.

Python, the callbacks, recipes, sweeps and the command line all take these classes. Construction checks bounds and
contradictions; the names of detectors are looked up where they are used. The help beside a field is what the command
line prints of it. Imports no torch.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from numbers import Real
from types import MappingProxyType
from typing import Any, Self, cast, get_args

from earlybird.errors import InputError, nearest
from earlybird.spans import Span, SpanLike, parse_span
from earlybird.vocabulary import (
    CRITERIA,
    KINDS,
    MEASURES,
    SCORES,
    WEIGHED_KINDS,
    CriterionName,
    Joint,
    Kind,
    KvGroups,
    Measure,
    Place,
    Scope,
    Score,
)

# A ratio for all blocks of a kind, or ratios by name of the block, with wildcards: {"*.layers.0.*": 0, "*": 0.5}.
Ratio = float | Mapping[str, float] | None

# What a search leaves that is asked for nothing; docs/defaults.md says what these are chosen by.
DEFAULT_FLOPS = 0.5
# What it prunes where that cannot be: by scores or detectors that no budget can be met by, or FLOPs nobody can count.
DEFAULT_RATIOS: Mapping[Kind, float] = MappingProxyType({"heads": 0.4, "neurons": 0.63})
# Where neither a score nor a detector made for another one is named.
DEFAULT_SCORE: Score = "squared-gradient"

SPANS = ("smoothing", "window", "every", "start", "lag")
# What belongs to one detector, and not to the one that takes its place.
DETECTOR_SETTINGS = (*SPANS, "criterion", "threshold")


@dataclass(frozen=True, kw_only=True)
class PruningConfig:
    """Which units are pruned: the ratios, and what holds of the masks.

    Raises:
        InputError: a value out of bounds, or two that contradict each other.
    """

    heads: Ratio = field(
        default=None,
        metadata={
            "help": "Ratio of heads to prune, in [0, 1); 0 or nothing leaves them alone. In Python also ratios by name"
            " of the block, the first that fits."
        },
    )
    neurons: Ratio = field(default=None, metadata={"help": "Ratio of neurons to prune, in [0, 1)."})
    experts: Ratio = field(
        default=None,
        metadata={
            "help": "Ratio of a mixture's experts to prune, in [0, 1), in each layer, down to those that a router picks"
            " for a token. Without it all experts stay."
        },
    )
    flops: float | None = field(
        default=None,
        metadata={
            "help": "Instead of ratios: the share of the blocks' FLOPs that is left, in (0, 1). Heads and neurons go by"
            " what they are worth for what they cost."
        },
    )
    parameters: float | None = field(
        default=None, metadata={"help": "Instead of ratios: the share of the blocks' parameters that is left."}
    )
    milliseconds: float | None = field(
        default=None,
        metadata={
            "help": "Instead of ratios: what a forward pass of --examples may take, measured on this machine once."
        },
    )
    tokens: int = field(
        default=128,
        metadata={
            "help": "Tokens of the example that a budget's FLOPs or milliseconds are of; at most as many as the model"
            " takes."
        },
    )
    examples: int | None = field(
        default=None, metadata={"help": "Examples of the forward pass that a budget of milliseconds is for."}
    )
    heads_scope: Scope | None = field(
        default=None,
        metadata={
            "help": "Where the heads' threshold is taken: in each layer, or global, over all of them. By default layer;"
            " global in a search that is given no ratio, and with a budget."
        },
    )
    neurons_scope: Scope | None = field(
        default=None,
        metadata={"help": "The same of the neurons. By default global; layer where the ratios are given by name."},
    )
    uniform: bool = field(
        default=False,
        metadata={"help": "Keep the same count in every block; of heads the nearest that the model's config can hold."},
    )
    kv_groups: KvGroups | None = field(
        default=None,
        metadata={
            "help": "What is pruned of heads that share keys and values: whole groups, or equally many heads within"
            " every group; by default whole where there are at least four groups."
        },
    )
    round_to: int = field(
        default=1, metadata={"help": "Keep a multiple of so many neurons in every block, for instance 8 or 64."}
    )
    whole_blocks: bool = field(
        default=False,
        metadata={
            "help": "Let a block lose its last head or neuron where that is worth least over all blocks; its bias is"
            " what is left of it."
        },
    )
    exclude: tuple[str, ...] = field(
        default=(), metadata={"help": "Names of blocks to leave alone, with wildcards: *.layers.0.*"}
    )

    def __post_init__(self) -> None:
        for kind in KINDS:
            _check_ratio(kind, getattr(self, kind))
        self._check_budget()
        if self.heads_scope is None:
            object.__setattr__(self, "heads_scope", "layer" if self.budget is None else "global")
        if self.neurons_scope is None:
            object.__setattr__(self, "neurons_scope", "layer" if isinstance(self.neurons, Mapping) else "global")
        for name in ("heads_scope", "neurons_scope"):
            _check_name(name, getattr(self, name), get_args(Scope))
        if self.kv_groups is not None:
            _check_name("kv_groups", self.kv_groups, get_args(KvGroups))
        for name in ("uniform", "whole_blocks"):
            if type(getattr(self, name)) is not bool:
                raise InputError(f"{name} must be True or False, got {getattr(self, name)!r}")
        self._check_whole_blocks()
        if type(self.round_to) is not int or self.round_to < 1:
            raise InputError(f"round_to must be a whole number of at least 1, got {self.round_to!r}; 1 rounds nothing")
        names = self.exclude
        if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
            raise InputError(f"exclude must hold names of blocks, got {self.exclude!r}; for one give exclude=[NAME]")
        object.__setattr__(self, "exclude", tuple(self.exclude))
        by_name = [kind for kind in KINDS if isinstance(getattr(self, kind), Mapping)]
        if self.uniform and by_name:
            raise InputError(
                f"uniform=True keeps the same number in every block, and {by_name[0]} has ratios by name of the block:"
                " give one ratio, or leave out uniform"
            )

    @property
    def says_amount(self) -> bool:
        """Whether it says how much is pruned: a ratio, also 0, or a budget."""
        return any(getattr(self, kind) is not None for kind in KINDS) or self.budget is not None

    @property
    def budget(self) -> tuple[Measure, float] | None:
        """What may be left instead of ratios, and the share of it; of milliseconds how many."""
        given = ((measure, cast(float | None, getattr(self, measure))) for measure in MEASURES)
        return next(((measure, share) for measure, share in given if share is not None), None)

    def _check_whole_blocks(self) -> None:
        if not self.whole_blocks:
            return
        if self.uniform:
            raise InputError("uniform keeps the same number in every block, so that none goes whole: give one of them")
        given = [kind for kind in WEIGHED_KINDS if getattr(self, kind)] or list(WEIGHED_KINDS)
        if all(self.scope(kind) == "layer" for kind in given):
            raise InputError(
                f'a threshold in each layer empties none: with whole_blocks give {given[0]}_scope="global", or a budget'
            )

    def _check_budget(self) -> None:
        if type(self.tokens) is not int or self.tokens < 1:
            raise InputError(f"tokens must be a whole number of at least 1, got {self.tokens!r}")
        if self.examples is not None and (type(self.examples) is not int or self.examples < 1):
            raise InputError(f"examples must be a whole number of at least 1, got {self.examples!r}")
        given = [measure for measure in MEASURES if getattr(self, measure) is not None]
        for measure in given:
            share = getattr(self, measure)
            if measure == "milliseconds":
                self._check_milliseconds()
            elif not (is_number(share) and 0 < share < 1):
                raise InputError(
                    f"{measure} must lie in (0, 1), the share of the blocks' {measure} that is left, got {share!r}"
                )
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} are two budgets: give one of them")
        if not given:
            return
        ratios = [kind for kind in KINDS if getattr(self, kind) is not None]
        if ratios:
            raise InputError(
                f"{given[0]} says what may be left of heads and neurons together, and {ratios[0]} is a ratio: give one"
                " or the other"
            )
        scopes = [name for name in ("heads_scope", "neurons_scope") if getattr(self, name) == "layer"]
        if scopes:
            raise InputError(
                f"a budget compares the units of all blocks, and {scopes[0]} asks for a threshold in each layer: leave"
                " it out, or give ratios"
            )

    def _check_milliseconds(self) -> None:
        if self.milliseconds is None or not is_number(self.milliseconds) or self.milliseconds <= 0:
            raise InputError(f"milliseconds must be a number above 0, got {self.milliseconds!r}")
        if self.examples is None:
            raise InputError(
                f"milliseconds={self.milliseconds} are those of a forward pass of a stated shape: give examples=1, or"
                f" as many as it has, and its tokens where they are not {self.tokens}"
            )

    def scope(self, kind: Kind) -> Scope:
        """Where a kind's threshold is taken."""
        return "layer" if kind == "experts" else cast(Scope, getattr(self, f"{kind}_scope"))


@dataclass(frozen=True, kw_only=True)
class CompensationConfig:
    """Whether the cut is mended in closed form before the small network trains on.

    Raises:
        InputError: no whole number of batches.
    """

    compensation: int = field(
        default=16,
        metadata={
            "help": "Batches on which the projections out of pruned blocks are refitted at the cut, so that the kept"
            " units give what all gave; 0 refits nothing."
        },
    )

    def __post_init__(self) -> None:
        if type(self.compensation) is not int or self.compensation < 0:
            raise InputError(
                f"compensation must be a whole number of batches of at least 0, got {self.compensation!r}; 0 refits"
                " nothing"
            )


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """When the masks count as settled, by which score; None leaves a setting to the detector's own default.

    Spans are steps (300), a fraction of the run (0.02 or "2%") or epochs ("3ep").

    Raises:
        InputError: a value out of bounds, or an object that is no detector.
    """

    score: Score | None = field(
        default=None,
        metadata={
            "help": "What ranks the units: the coefficient, trained beside the weights, or with it at 1 its mean"
            " |gradient| or mean squared-gradient, which leave the training as it would be without a search. By default"
            " what the detector is made for: squared-gradient of the default one, the coefficient of the study's."
        },
    )
    detector: Any = field(
        default=None,
        metadata={
            "help": "What decides, see `earlybird detectors`: a name, or several put together as all(equivalence, ols);"
            " by default recent-half-capture, for coefficients rank-correlation, or fixed-time where a training goes on"
            " from its draw. In Python also a Detector."
        },
    )
    smoothing: SpanLike = field(default=None, metadata={"help": "Moving average of the series, a span."})
    window: SpanLike = field(default=None, metadata={"help": "Values in a test, a span."})
    every: SpanLike = field(default=None, metadata={"help": "From one check to the next, a span."})
    start: SpanLike = field(default=None, metadata={"help": "No check before, a span."})
    lag: SpanLike = field(
        default=None, metadata={"help": "How long ago the mask or order is that today's is compared with, a span."}
    )
    criterion: CriterionName | None = field(
        default=None,
        metadata={"help": "The series that a windowed detector reads: nuclear-norm, overlap, captured, ..."},
    )
    threshold: float | None = field(default=None, metadata={"help": "What the statistic is compared with, in (0, 1)."})
    joint: Joint = field(
        default="latched",
        metadata={
            "help": "Whether kinds may settle one after the other (latched) or must at one check (simultaneous)."
        },
    )

    def __post_init__(self) -> None:
        if self.score is not None:
            _check_name("score", self.score, SCORES)
        _check_name("joint", self.joint, get_args(Joint))
        for name in SPANS:
            try:
                object.__setattr__(self, name, parse_span(getattr(self, name)))
            except InputError as error:
                raise InputError(f"{name}: {error}") from error
        if self.criterion is not None:
            _check_name("criterion", self.criterion, CRITERIA)
        if self.threshold is not None and not (is_number(self.threshold) and 0 < self.threshold < 1):
            raise InputError(f"threshold must lie in (0, 1), got {self.threshold!r}")
        if self.detector is not None and not isinstance(self.detector, str):
            _check_detector(self.detector)
            given = [name for name in DETECTOR_SETTINGS if getattr(self, name) is not None]
            if given:
                raise InputError(
                    f"{given[0]} cannot be set beside a detector of your own, {type(self.detector).__name__}, which"
                    " brings its settings: leave it out"
                )

    def with_detector(self, detector: Any) -> Self:
        """The same decided by another detector with its own default settings."""
        own: dict[str, Any] = dict.fromkeys(DETECTOR_SETTINGS)
        return replace(self, **own, detector=detector)


@dataclass(frozen=True, kw_only=True)
class SlimmingConfig:
    """The coefficients: where they act, how they are penalised and trained (network slimming, arXiv 1708.06519).

    Raises:
        InputError: a value out of bounds.
    """

    slim: Place = field(
        default="after", metadata={"help": "Where a head's coefficient acts: after or before the softmax."}
    )
    neuron_slim: Place = field(
        default="after",
        metadata={"help": "Where a neuron's coefficient acts: after or before the activation function."},
    )
    l1_heads: float = field(default=1e-4, metadata={"help": "Weight of the L1 penalty on the heads' coefficients."})
    l1_neurons: float = field(default=1e-4, metadata={"help": "Weight of the L1 penalty on the neurons' coefficients."})
    l1_experts: float = field(default=1e-4, metadata={"help": "Weight of the L1 penalty on the experts' coefficients."})
    learning_rate: float | None = field(
        default=None,
        metadata={
            "help": "Learning rate of the coefficients; by default the weights' where that is known, elsewhere 1e-3."
        },
    )

    def __post_init__(self) -> None:
        for name in ("slim", "neuron_slim"):
            _check_name(name, getattr(self, name), get_args(Place))
        for name in ("l1_heads", "l1_neurons", "l1_experts"):
            weight = getattr(self, name)
            if not (is_number(weight) and weight >= 0):
                raise InputError(f"{name} must be a number of at least 0, got {weight!r}; 0 penalises nothing")
        if self.learning_rate is not None and not (is_number(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"learning_rate must be a number above 0, got {self.learning_rate!r}")


# The bases from the last to the first, so that the fields stand in the order in which they are told.
@dataclass(frozen=True, kw_only=True)
class SearchConfig(SlimmingConfig, DetectorConfig, CompensationConfig, PruningConfig):
    """All settings of a search, flat; see `PruningConfig`, `CompensationConfig`, `DetectorConfig`, `SlimmingConfig`.

    Where neither kind has a ratio, and there is no budget, half of the blocks' FLOPs are left; see `with_amount`.

    `Search` itself prunes nothing: in a loop of one's own the batches are given to `prune(compensate=)`.

    Raises:
        InputError: see there; ratios by name of the block, which a search does not take.
    """

    def __post_init__(self) -> None:
        refuse_ratios_by_name(self)
        said = {name: getattr(self, name) for name in ("heads_scope", "neurons_scope")}
        PruningConfig.__post_init__(self)
        CompensationConfig.__post_init__(self)
        DetectorConfig.__post_init__(self)
        SlimmingConfig.__post_init__(self)
        if not self.says_amount:
            # Where thresholds are taken depends on what will be asked for.
            for name, scope in said.items():
                object.__setattr__(self, name, scope)
        refuse_scores_that_do_not_add_up(self, self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """The config that `plain_values` told.

        Raises:
            InputError: a field that there is not, or a value out of bounds.
        """
        known = [each.name for each in fields(cls)]
        unknown = next((name for name in values if name not in known), None)
        if unknown is not None:
            raise InputError(f"there is no setting {unknown!r}; {nearest(unknown, known)}")
        return cls(**values)


def check_search_config(config: Any) -> None:
    """Raise InputError for what is no SearchConfig."""
    if not isinstance(config, SearchConfig):
        raise InputError(
            f"config must be a SearchConfig, got {reprlib.repr(config)}; write SearchConfig(heads=0.3, neurons=0.4)"
        )


def refuse_ratios_by_name(config: PruningConfig) -> None:
    """Raise InputError for ratios by name of the block, which a search does not take."""
    for kind in KINDS:
        if isinstance(ratio := getattr(config, kind), Mapping):
            raise InputError(
                f"{kind}: a search prunes each kind by one ratio, got ratios by name ({dict(ratio)}): give one, and"
                " exclude=[...] for blocks to leave alone"
            )


def refuse_scores_that_do_not_add_up(pruning: PruningConfig, detector: DetectorConfig) -> None:
    """Raise InputError for a budget by scores of which two small ones are not worth one of twice the size."""
    if pruning.budget is not None and detector.score not in (None, "squared-gradient"):
        raise InputError(
            f"{pruning.budget[0]}={pruning.budget[1]} compares heads with neurons, and only squared gradients add up to"
            f" a loss: give score='squared-gradient' instead of {detector.score!r}, or ratios"
        )


def replaced_pruning(config: PruningConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What `replace` needs to change a config: a ratio or a budget takes the place of whatever said how much is pruned.

    Raises:
        InputError: a ratio beside a budget.
    """
    amounts = {name for name in (*KINDS, *MEASURES) if changes.get(name) is not None}
    if not amounts or (config.budget is None and amounts <= set(KINDS)):
        return dict(changes)
    return {**dict.fromkeys((*KINDS, *MEASURES, "heads_scope", "neurons_scope")), **changes}


def plain_values(config: PruningConfig | DetectorConfig | SlimmingConfig) -> dict[str, Any]:
    """Field -> value, all of them, as JSON can hold them: spans as text, a detector of the user's own by its class."""
    return {each.name: _plain(getattr(config, each.name)) for each in fields(config)}


def _plain(value: Any) -> Any:
    if isinstance(value, Span):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return list(value)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return float(value) if isinstance(value, Real) else type(value).__name__


def is_number(value: Any) -> bool:
    """Whether a value is a finite real number; True and False are none."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _check_ratio(kind: Kind, ratio: Any) -> None:
    if ratio is None:
        return
    for one in ratio.values() if isinstance(ratio, Mapping) else (ratio,):
        if not (is_number(one) and 0 <= one < 1):
            raise InputError(f"{kind}: ratio must lie in [0, 1), got {one!r}; to prune nothing use 0")


def _check_name(setting: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"{setting} must be one of {', '.join(known)}, got {value!r}; {nearest(str(value), known)}")


# What `earlybird.detectors.Detector` promises.
_CONTRACT = ("update", "settled", "checked", "statistic", "first_check", "criteria")


def _check_detector(detector: Any) -> None:
    """Refuse an object that cannot decide; a class instead of an object of it, too."""
    if isinstance(detector, type):
        raise InputError(f"detector takes an object, got the class {detector.__name__}: give {detector.__name__}(...)")
    lacking = [name for name in _CONTRACT if not hasattr(detector, name)]
    if lacking:
        public = [name for name in dir(detector) if not name.startswith("_")]
        near = get_close_matches(lacking[0], public, n=1)
        hint = f", but {near[0]!r}" if near else ""
        raise InputError(
            "detector must be a name, or an object of a subclass of earlybird.detectors.Detector:"
            f" {type(detector).__name__} has no {lacking[0]!r}{hint}"
        )
