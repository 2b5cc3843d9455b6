"""Slimming coefficients on a model, without touching its code or its parameters."""
