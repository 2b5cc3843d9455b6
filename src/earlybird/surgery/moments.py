"""First and second moments of what enters a projection, summed over batches."""

from __future__ import annotations

import torch
from torch import Tensor, distributed

from earlybird.anatomy.distributed import several


class Moments:
    """Sums over tokens of features, and of their products with the features that stay.

    The sums are in float32. Where the projection has a bias they are taken around the mean of the first tokens, since a
    variance much smaller than the square of its mean would be lost in rounding otherwise.

    Args:
        kept: (features,) bool, the features that stay.
        centred: whether the moments are to be central ones.
        products: whether second moments are wanted, too.

    Attributes:
        tokens: seen so far.
    """

    def __init__(self, kept: Tensor, *, centred: bool, products: bool = True) -> None:
        self.kept = kept
        self.centred = centred
        self.tokens = 0
        self._products = products
        self._origin: Tensor | None = None
        self._sum = torch.zeros(len(kept), dtype=torch.float32, device=kept.device)
        width = int(kept.sum()) if products else 0
        self._product = torch.zeros((len(kept), width), dtype=torch.float32, device=kept.device)

    @staticmethod
    def size(features: int, kept: int) -> int:
        """Bytes that the moments of a projection take."""
        return 4 * features * (kept + 2)

    def add(self, features: Tensor) -> None:
        """Add tokens (tokens, features)."""
        if not len(features):
            return
        # Autocast would take the product in half precision.
        with torch.autocast(features.device.type, enabled=False):
            values = features.float()
            if self._origin is None:
                self._origin = values.mean(0) if self.centred else torch.zeros_like(self._sum)
            values = values - self._origin
            self.tokens += len(values)
            self._sum += values.sum(0)
            if self._products:
                self._product.addmm_(values.T, values[:, self.kept])

    def add_those_of_other_processes(self) -> None:
        """Sum up over all processes that have seen tokens of their own; all of them have to call.

        Each has sums around a mean of its own, which are moved to a common one first.
        """
        if not several():
            return
        width = len(self._sum)
        own = torch.zeros(width + 1, dtype=torch.float64, device=self._sum.device)
        if self._origin is not None:
            own[:width] = self.tokens * self._origin.double()
            own[width] = self.tokens
        distributed.all_reduce(own)
        tokens = int(own[width])
        if not tokens:
            return
        common = (own[:width] / tokens).float()
        if self._origin is not None:
            move = self._origin - common
            if self._products:
                self._product.addr_(move, self._sum[self.kept])
            self._sum += self.tokens * move
            if self._products:
                self._product.addr_(self._sum, move[self.kept])
        self._origin, self.tokens = common, tokens
        distributed.all_reduce(self._sum)
        if self._products:
            distributed.all_reduce(self._product)

    def mean(self) -> Tensor:
        """Mean of every feature, (features,) float64; 0 where the moments are not centred."""
        if self._origin is None or not self.centred:
            return torch.zeros_like(self._sum, dtype=torch.float64)
        return self._origin.double() + self._sum.double() / self.tokens

    def covariance(self) -> Tensor | None:
        """Mean product of every feature with the kept ones, (features, kept) float64, central where so wanted."""
        if not self._products:
            return None
        product = self._product.double() / self.tokens
        if self.centred:
            offset = self._sum.double() / self.tokens
            product -= offset[:, None] * offset[self.kept]
        return product
