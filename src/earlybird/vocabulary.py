"""The literal types that the whole package says; docs/mathematics.md explains the words."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["heads", "neurons", "experts"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# The kinds that every model has, which a budget weighs against each other; experts go by a ratio alone.
WEIGHED_KINDS: tuple[Kind, ...] = ("heads", "neurons")

# What a detector watches: the units of one kind, or with a budget those of all kinds together.
Stream = Literal["heads", "neurons", "experts", "units"]

# What a trajectory records of a coefficient at each step.
Channel = Literal["deviation", "coefficient", "gradient", "squared-gradient"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)

# What ranks the units.
Score = Literal["coefficient", "gradient", "squared-gradient"]
SCORES: tuple[Score, ...] = get_args(Score)

# Where a ratio's threshold is taken: in each block, or over all blocks of a kind.
Scope = Literal["layer", "global"]

# What a budget counts: a share of it may be left, or so many milliseconds of a forward pass.
Measure = Literal["flops", "parameters", "milliseconds"]
MEASURES: tuple[Measure, ...] = get_args(Measure)

# What is pruned of heads that share keys and values: whole groups, or equally many heads within every group.
KvGroups = Literal["whole", "within"]

# Where a coefficient acts: after the softmax or the activation function, or before it.
Place = Literal["after", "before"]

# Whether kinds may settle one after the other, or must at one and the same check.
Joint = Literal["latched", "simultaneous"]

CriterionName = Literal[
    "nuclear-norm", "score-nuclear-norm", "effective-rank", "hamming", "overlap", "captured", "ema-overlap"
]
CRITERIA: tuple[CriterionName, ...] = get_args(CriterionName)

# What a pruned network trains on from: the initial (pretrained) weights, or those at the draw.
Weights = Literal["rewind", "continue"]

# What a callback does at the draw: end the training, or prune in place and go on.
AtDraw = Literal["stop", "continue"]

# The ticket that was drawn, or a random one of the same shape.
Which = Literal["ticket", "random"]

# How a ticket came about: its masks had settled, the search was over, a step was named, or by chance.
How = Literal["detector", "end", "step", "random"]
