"""Images for a recipe: read from five kinds of source, checked, decoded to one size, with named classes."""

from earlybird.recipes.data.images import ImageData, ImageDataset
from earlybird.recipes.data.load import ImageCounts, fetch_images, load_images

__all__ = ["ImageCounts", "ImageData", "ImageDataset", "fetch_images", "load_images"]
