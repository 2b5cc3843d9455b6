"""An output projection refitted in closed form, so that the kept units give what all units gave."""

from __future__ import annotations

import torch
from torch import Tensor

from earlybird.surgery.moments import Moments


def refitted(weight: Tensor, moments: Moments, ridge: float) -> tuple[Tensor, Tensor]:
    """What is added to the kept columns of a projection and to its bias.

    With kept features K and pruned ones P, the input's covariance C and mean m: D = W_P C_PK (C_KK + r I)^-1, and
    W_P m_P - D m_K for the bias; r is `ridge` times the mean of C_KK's diagonal. That is ridge regression of what the
    pruned features gave on the kept ones (optimal brain surgeon with a whole block of weights, Hassibi and Stork 1993;
    Kwon et al. 2022, arXiv 2204.09656; ZipLM, arXiv 2302.04089). Without second moments D is 0, and what the pruned
    features gave on average moves into the bias (FLAP, arXiv 2312.11983).

    Args:
        weight: (outputs, features).
        moments: of what enters the projection.
        ridge: r, relative to the mean variance of a kept feature.

    Returns:
        (outputs, kept) and (outputs,), float64.
    """
    kept = moments.kept
    lost = weight.double()[:, ~kept]
    mean = moments.mean()
    shift = lost @ mean[~kept]
    change = torch.zeros((len(weight), int(kept.sum())), dtype=torch.float64, device=weight.device)
    covariance = moments.covariance()
    if covariance is None:
        return change, shift
    among_kept = covariance[kept]
    strength = among_kept.diagonal().mean()
    if strength > 0:
        among_kept.diagonal().add_(ridge * strength)
        wanted = covariance[~kept].T @ lost.T
        factor, failed = torch.linalg.cholesky_ex(among_kept)
        # Without a ridge features may depend on one another: of all solutions the smallest.
        if failed:
            change = (torch.linalg.pinv(among_kept, hermitian=True) @ wanted).T
        else:
            change = torch.cholesky_solve(wanted, factor).T
    return change, shift - change @ mean[kept]
