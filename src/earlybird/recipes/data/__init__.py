"""Data for a recipe: tables from the hub, Parquet or text files; images checked, decoded to one size, with classes."""

from earlybird.recipes.data.images import ImageData, ImageDataset, Statistics
from earlybird.recipes.data.load import fetch_images, load_images

__all__ = ["ImageData", "ImageDataset", "Statistics", "fetch_images", "load_images"]
