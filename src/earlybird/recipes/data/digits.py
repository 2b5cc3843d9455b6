"""The handwritten digits that come with scikit-learn: 1,797 grey images of 8 x 8, ten classes."""

from __future__ import annotations

import numpy as np

from earlybird.recipes.data.split import Split


def read_digits(eval_share: float) -> tuple[Split, Split]:
    """Return a fixed stratified split into training and evaluation, values scaled from 0..16 to 0..255.

    The set is the test part of Alpaydin and Kaynak's optical recognition of handwritten digits (UCI, 1998).

    Args:
        eval_share: of the images, that are held out.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    rows = train_test_split(np.arange(len(labels)), test_size=eval_share, random_state=0, stratify=labels)
    train, evaluation = (
        Split(labels[part].astype(np.int64), None, f"the {name} part of scikit-learn's digits", pixels[part])
        for part, name in zip(rows, ("training", "evaluation"), strict=True)
    )
    return train, evaluation
