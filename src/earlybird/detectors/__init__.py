"""Observations -> draw: one rule a file, online and offline by the same code."""
