"""The page's sections, one a file, in the page's order: outcome, settling, coefficients, survivors, origin."""
