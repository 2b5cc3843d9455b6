"""Many tickets of one recipe: which cells there are, one search for all tickets of a seed, and their table."""
