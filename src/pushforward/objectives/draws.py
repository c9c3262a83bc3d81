"""Random numbers for a batch of times, spread evenly over the batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Draws"]


@dataclass(frozen=True)
class Draws:
    """A request for `n` random numbers from `generator`, on `device`, in `dtype` (single precision or better)."""

    n: int
    generator: torch.Generator | None = None
    device: torch.device | str | None = None
    dtype: torch.dtype = torch.float32

    def uniform(self) -> Tensor:
        """Draw independent uniforms on [0, 1): `(n,)`."""
        return torch.rand(self.n, generator=self.generator, device=self.device, dtype=self.dtype)

    def stratified(self) -> Tensor:
        """Draw uniforms on [0, 1], one in each of n equal cells with one shared offset: `(i + u) / n`, in random order.

        Each entry alone is uniform; together they are spread evenly, so that means over a batch vary less.

        >>> Draws(4).stratified().sort().values.diff()
        tensor([0.2500, 0.2500, 0.2500])
        """
        cells = torch.randperm(self.n, generator=self.generator, device=self.device, dtype=self.dtype)
        offset = torch.rand(1, generator=self.generator, device=self.device, dtype=self.dtype)
        return cells.add_(offset).mul_(1 / max(self.n, 1))

    def normal(self) -> Tensor:
        """Draw standard normals from stratified uniforms, kept away from the infinities at 0 and 1: `(n,)`."""
        u = self.stratified()
        eps = torch.finfo(u.dtype).eps
        return torch.special.ndtri(u.clamp_(eps, 1 - eps))

    def beta(self, a: float, b: float) -> Tensor:
        """Draw Beta(a, b) variables as a ratio of gammas: `(n,)`."""
        # torch.distributions takes no generator; this is the sampler underneath it
        shape = torch.tensor([[a], [b]], device=self.device, dtype=self.dtype).expand(2, self.n)
        first, second = torch._standard_gamma(  # pyright: ignore[reportPrivateImportUsage]
            shape, generator=self.generator
        )
        return first / (first + second)
