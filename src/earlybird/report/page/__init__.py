"""Everything of the HTML page: page.py puts it together of the sections, and those of plots, text and tables."""
