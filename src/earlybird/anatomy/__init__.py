"""Finds the blocks of a model: which modules hold its attention heads and its MLP neurons."""

from earlybird.anatomy.anatomy import Anatomy
from earlybird.anatomy.blocks import AttentionBlock, Block, GoneBlock, LeftOut, MlpBlock
from earlybird.anatomy.patterns import AttentionPattern, MlpPattern

__all__ = ["Anatomy", "AttentionBlock", "AttentionPattern", "Block", "GoneBlock", "LeftOut", "MlpBlock", "MlpPattern"]
