"""Finds the blocks of a model: which modules hold its attention heads, its MLP neurons and its experts."""

from earlybird.anatomy.anatomy import Anatomy
from earlybird.anatomy.blocks import AttentionBlock, Block, GoneBlock, LeftOut, MlpBlock
from earlybird.anatomy.patterns import AttentionPattern, MlpPattern

__all__ = ["Anatomy", "AttentionBlock", "AttentionPattern", "Block", "GoneBlock", "LeftOut", "MlpBlock", "MlpPattern"]
