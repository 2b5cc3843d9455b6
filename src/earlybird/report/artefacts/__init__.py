"""The study's figures and tables of a recorded run, each as PNG, SVG and the data it shows as CSV."""
