"""Pruned units masked, or removed: one plan, checked before and after, undone where it is refused."""
