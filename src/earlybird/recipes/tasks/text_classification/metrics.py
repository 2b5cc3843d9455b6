"""GLUE's metrics (Wang et al. 2018, arXiv 1804.07461), in percent."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning, pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef


def classification_metrics(predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> dict[str, float]:
    """Accuracy, F1 and Matthews correlation of class numbers (examples,).

    F1 is that of class 1 where there are two classes, as in GLUE, and the mean over all classes otherwise.
    """
    average = "binary" if classes == 2 else "macro"
    shares = {
        "accuracy": accuracy_score(labels, predictions),
        "f1": f1_score(labels, predictions, average=average, zero_division=0.0),
        "matthews_correlation": matthews_corrcoef(labels, predictions),
    }
    return {name: 100.0 * float(share) for name, share in shares.items()}


def regression_metrics(predictions: NDArray[np.float32], labels: NDArray[np.float32]) -> dict[str, float]:
    """Pearson and Spearman correlation of values (examples,); 0 where one side is constant and none is defined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        correlations = {
            "pearson": pearsonr(predictions, labels).statistic,
            "spearman": spearmanr(predictions, labels).statistic,
        }
    return {name: 100.0 * float(np.nan_to_num(value)) for name, value in correlations.items()}
