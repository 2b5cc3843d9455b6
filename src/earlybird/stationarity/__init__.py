"""Tests of whether a window of a series has settled, one a file."""
