"""The interactive plots, one a file; plot.py holds what all are made of, and stacked.py rows over one axis of steps."""
