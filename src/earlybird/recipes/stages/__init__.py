"""The stages of a run, one a file; they meet only through files in the run's directory."""
