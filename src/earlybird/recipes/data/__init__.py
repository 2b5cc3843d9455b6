"""Data for a recipe: tables from the hub, Parquet or text files; images checked, decoded to one size, with classes."""
