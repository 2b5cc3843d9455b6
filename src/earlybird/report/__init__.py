"""What people look at: the plots and the HTML report of a run. Imports no torch: a laptop can do it."""
