"""Milliseconds of a forward pass: what each block takes by its number of units, measured once on a machine and kept."""

from earlybird.latency.costs import unit_costs

__all__ = ["unit_costs"]
