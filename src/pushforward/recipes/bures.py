"""Deep linear generators trained with the Bures-Wasserstein distance: a landscape that is fully known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.metrics.bures import bures_wasserstein2
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.symmetric import inverse_root, symmetric_root

__all__ = ["DeepLinearGenerator"]


@dataclass(frozen=True)
class DeepLinearGenerator(Experiment):
    """Descend on the distance from the covariance `W W^T` of a generator `W = W_2 W_1` of rank `rank` to a target of
    eigenvalues `scales^2` in a random basis.

    Its minimum keeps the largest eigenvalues, its value is the sum of the others; every other subset of eigenpairs is a
    saddle. Figures: `gap` to that minimum after `steps` from a balanced random start, `spectrum error` of the singular
    values of W, and `escape gap` after as many steps from a kick of 1e-3 off the saddle that keeps the first, third and
    fifth pair; `saddle gradient` and `saddle value error` there; `gradient error`, the derivative at 20 random
    generators against `2 (I - T) W`, and `non-finite`, the share of them where it is not finite; the same two for
    `root baseline`, the derivative through the eigenvectors of `B^1/2 W W^T B^1/2`, where only the error is taken with
    negative eigenvalues set to zero first.
    """

    scales: tuple[float, ...] = (3.0, 2.2, 1.6, 1.1, 0.7, 0.4)
    rank: int = 3
    tau: float = 0.0
    rate: float = 0.02
    steps: int = 1000

    def run(self, seed: int) -> Figures:
        """Train from a random start and from a saddle, and check the derivatives."""
        generator = seeded(seed, "bures")
        d, scales = len(self.scales), torch.tensor(self.scales, dtype=torch.float64)
        basis = torch.linalg.qr(_normal(d, d, generator)).Q
        target = (basis * scales.square()) @ basis.T
        least = float(scales[self.rank :].square().sum())
        saddle = basis[:, ::2] * scales[::2]
        starts = _balanced(torch.stack([_normal(d, self.rank, generator), saddle]))
        for factor in starts:
            factor[1] += 1e-3 * _normal(factor.shape[1], factor.shape[2], generator)
        trained = self._descend(starts, target)
        losses = bures_wasserstein2(None, target, factor=trained) - least
        at_saddle = bures_wasserstein2(None, target, factor=saddle)
        random = [_normal(d, self.rank, generator) for _ in range(20)]
        exact = [_closed_form(V, target) for V in random]
        ours = [_gradient(V, target) for V in random]
        return {
            "gap": float(losses[0]),
            "escape gap": float(losses[1]),
            "spectrum error": float((torch.linalg.svdvals(trained[0]) - scales[: self.rank]).abs().max()),
            "saddle gradient": float(_gradient(saddle, target).abs().max()),
            "saddle value error": abs(float(at_saddle - scales[1::2].square().sum())),
            "gradient error": _error(ours, exact),
            "non-finite": _non_finite(ours),
            "root baseline, gradient error": _error([_baseline(V, target, clamp=True) for V in random], exact),
            "root baseline, non-finite": _non_finite([_baseline(V, target, clamp=False) for V in random]),
        }

    def _descend(self, starts: list[Tensor], target: Tensor) -> Tensor:
        """Plain gradient descent on the factors of several generators at once; return the generators."""
        factors = [factor.requires_grad_() for factor in starts]
        for _ in range(self.steps):
            loss = bures_wasserstein2(None, target, factor=factors[0] @ factors[1], tau=self.tau).sum()
            gradients = torch.autograd.grad(loss, factors)
            with torch.no_grad():
                for factor, gradient in zip(factors, gradients, strict=True):
                    factor -= self.rate * gradient
        return (factors[0] @ factors[1]).detach()

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["bures_wasserstein2"]


def _normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def _balanced(W: Tensor) -> list[Tensor]:
    """Split `W = W_2 W_1` so that `W_2^T W_2 = W_1 W_1^T`."""
    U, values, Vh = torch.linalg.svd(W, full_matrices=False)
    return [U * values.sqrt().unsqueeze(-2), values.sqrt().unsqueeze(-1) * Vh]


def _gradient(W: Tensor, target: Tensor) -> Tensor:
    W = W.clone().requires_grad_()
    return torch.autograd.grad(bures_wasserstein2(None, target, factor=W), W)[0]


def _closed_form(W: Tensor, target: Tensor) -> Tensor:
    """Return `2 (I - T) W`, with T the transport map from `W W^T` to the target."""
    R = symmetric_root(target)
    return 2 * (W - R @ inverse_root(R @ W @ W.T @ R) @ R @ W)


def _baseline(W: Tensor, target: Tensor, *, clamp: bool) -> Tensor:
    """Differentiate `|W|^2 - 2 tr (R W W^T R)^1/2` through the eigenvalues and eigenvectors of the d x d product."""
    W = W.clone().requires_grad_()
    R = symmetric_root(target)
    values, vectors = torch.linalg.eigh(R @ W @ W.T @ R)
    root = (vectors * (values.clamp(min=0) if clamp else values).sqrt()) @ vectors.T
    return torch.autograd.grad(W.square().sum() - 2 * root.trace(), W)[0]


def _error(found: list[Tensor], exact: list[Tensor]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(found, exact, strict=True))


def _non_finite(gradients: list[Tensor]) -> float:
    return sum(not bool(gradient.isfinite().all()) for gradient in gradients) / len(gradients)
