"""Pruned models for tools that do not know earlybird."""
