"""Everything that matplotlib draws: the two pictures of a report, and the study's figures of a recorded search.

The code of a figure is in the file of its name: `p-values` in p_values.py; listing.py holds all of them.
"""
