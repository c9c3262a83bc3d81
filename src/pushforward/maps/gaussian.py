"""The optimal transport map between two Gaussians, fitted from samples or from streamed moments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.maps.store import save_transport
from pushforward.maps.transport import Transport
from pushforward.measures import Gaussian
from pushforward.symmetric import check_covariance, inverse_root, symmetric_root
from pushforward.tensors import as_samples, check_same_event

__all__ = ["GaussianMap", "Moments"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter of points, in float64; adding two gives the moments of all points together.

    `mean: (*event)`; `scatter: (d, d)` is the sum of the outer products of the deviations from the mean. Sums are
    taken about the mean (Chan, Golub and LeVeque 1979), so that nothing cancels for points far from the origin.

    >>> batches = torch.arange(12.0).reshape(3, 4, 1)
    >>> (Moments.of(batches[0]) + Moments.of(batches[1]) + Moments.of(batches[2])).covariance
    tensor([[13.]], dtype=torch.float64)
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Moments:
        """Return the moments of a batch `x: (n, *event)`. Raises `InputError` for an empty or non-finite one."""
        x = as_samples("x", x).double()
        mean = x.mean(0)
        deviation = (x - mean).flatten(1)
        return cls(len(x), mean, deviation.T @ deviation)

    def __add__(self, other: Moments) -> Moments:
        check_same_event("one batch", self.mean.shape, "the other", other.mean.shape)
        count, step = self.count + other.count, other.mean - self.mean
        between = torch.outer(step.flatten(), step.flatten()) * (self.count * other.count / count)
        return Moments(count, self.mean + step * (other.count / count), self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance of the flattened points, `(d, d)`."""
        return self.scatter / max(self.count - 1, 1)


class GaussianMap(nn.Module, Recorded, Transport):
    """The optimal map of N(m0, A) onto N(m1, B) for the quadratic cost, applied to any points.

        push(x) = m1 + T (x - m0),    T = A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2,    T symmetric,  T A T = B

    Where A has no inverse, no map reaches all of B. T is then the conditional mean `E[y | x]` of the optimal coupling,
    `B S A^+` with S the map from B to A and `A^+` the pseudo-inverse; with `stochastic=True`, `push` adds independent
    noise of the missing covariance `B - T A T^T`, so that the pushed law is N(m1, B) again.

    State is float64; points keep their own dtype. Sources: Peyré and Cuturi (2019), *Computational optimal transport*,
    remark 2.31; for singular A, Adrai et al. (2023), *Deep optimal transport*.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "adrai2023deep", "Deep Optimal Transport: A Practical Algorithm for Photo-realistic Image Restoration",
            "Theo J. Adrai and Guy Ohayon and Michael Elad and Tomer Michaeli", 2023, "2306.02342",
            "Advances in Neural Information Processing Systems",
        ),
    )  # fmt: skip

    source_mean: Tensor
    source_covariance: Tensor
    target_mean: Tensor
    matrix: Tensor
    noise_factor: Tensor

    def __init__(self, event_shape: tuple[int, ...], stochastic: bool = False) -> None:
        """Start as the identity between standard normals on points of this shape; the `fit` methods make the others."""
        super().__init__()
        self.event_shape, self.stochastic = tuple(event_shape), stochastic
        mean = torch.zeros(self.event_shape, dtype=torch.float64).flatten()
        identity = torch.eye(mean.numel(), dtype=torch.float64)
        self.register_buffer("source_mean", mean)
        self.register_buffer("source_covariance", identity)
        self.register_buffer("target_mean", mean.clone())
        self.register_buffer("matrix", identity.clone())
        self.register_buffer("noise_factor", torch.zeros_like(identity))

    @property
    def device(self) -> torch.device:
        """Where the moments are."""
        return self.matrix.device

    @classmethod
    def fit(cls, x: Tensor, y: Tensor, *, ridge: float = 0.0, stochastic: bool = False) -> GaussianMap:
        """Return the map between the Gaussians that have the moments of `x: (n, *event)` and `y: (m, *event)`.

        `ridge`, in squared units of the data, is added to the diagonals of both covariances. Raises `InputError` for
        empty, non-finite or unlike samples.
        """
        source, target = Moments.of(x), Moments.of(y)
        return cls.fit_statistics(
            source.mean, source.covariance, target.mean, target.covariance, ridge=ridge, stochastic=stochastic
        )

    @classmethod
    def fit_statistics(
        cls, mean0: Tensor, cov0: Tensor, mean1: Tensor, cov1: Tensor, *, ridge: float = 0.0, stochastic: bool = False
    ) -> GaussianMap:
        """Return the map of N(mean0, cov0) onto N(mean1, cov1): means `(*event)`, covariances `(d, d)`.

        Raises `InputError` for moments that do not go together and for a negative ridge.
        """
        if not ridge >= 0:
            raise InputError(f"ridge must not be negative, got {ridge}")
        check_same_event("mean0", mean0.shape, "mean1", mean1.shape)
        check_covariance("cov0", cov0)
        check_covariance("cov1", cov1, cov0)
        if cov0.shape != cov1.shape or cov0.shape != (mean0.numel(), mean0.numel()):
            raise InputError(f"cov0 is {tuple(cov0.shape)} for a mean of {mean0.numel()} numbers: wanted (d, d)")
        lift = ridge * torch.eye(len(cov0), dtype=torch.float64, device=cov0.device)
        A, B = cov0.detach().double() + lift, cov1.detach().double() + lift
        matrix, noise_factor = _optimal(A, B)
        return cls(tuple(mean0.shape), stochastic)._hold(mean0.flatten(), A, mean1.flatten(), matrix, noise_factor)

    def at(self, t: float) -> GaussianMap:
        """Return the map to time t of the displacement interpolation: `(1 - t) x + t push(x)`; at t = 1 this map.

        Its pushed law is the point at t of the geodesic from source to target; t outside [0, 1] extrapolates.
        """
        identity = torch.eye(len(self.matrix), dtype=self.matrix.dtype, device=self.matrix.device)
        return GaussianMap(self.event_shape, self.stochastic)._hold(
            self.source_mean,
            self.source_covariance,
            torch.lerp(self.source_mean, self.target_mean, t),
            torch.lerp(identity, self.matrix, t),
            t * self.noise_factor,
        )

    @property
    def pushed(self) -> Gaussian:
        """The law of the flattened points `(d,)` that `push` makes of the source Gaussian.

        Raises `InputError` where it is singular and has no density.
        """
        covariance = self.matrix @ self.source_covariance @ self.matrix.mT
        if self.stochastic:
            covariance = covariance + self.noise_factor @ self.noise_factor.mT
        if int(torch.linalg.matrix_rank(covariance, hermitian=True)) < len(covariance):
            raise InputError("no density: the pushed Gaussian is singular; fit with a ridge")
        return Gaussian(self.target_mean, (covariance + covariance.mT) / 2)

    def push(self, x: Tensor, condition: object = None, *, generator: torch.Generator | None = None) -> Tensor:
        """Carry source points `x: (n, *event)` to the target; `generator` draws the noise of a stochastic map."""
        rows = self._enter(x, condition)
        moved = self.target_mean.to(rows) + (rows - self.source_mean.to(rows)) @ self.matrix.mT.to(rows)
        if self.stochastic:
            noise = torch.randn(rows.shape, generator=generator, dtype=rows.dtype, device=rows.device)
            moved = moved + noise @ self.noise_factor.mT.to(rows)
        return moved.reshape(-1, *self.event_shape)

    def pull(self, y: Tensor, condition: object = None, *, generator: torch.Generator | None = None) -> Tensor:
        """Carry target points back to the source. Raises `InputError` where the map is singular or stochastic."""
        rows = self._enter(y, condition)
        if self.stochastic or int(torch.linalg.matrix_rank(self.matrix)) < len(self.matrix):
            raise InputError("this Gaussian map is not invertible: its source or target is singular, or it adds noise")
        inverse = torch.linalg.inv(self.matrix)
        moved = self.source_mean.to(rows) + (rows - self.target_mean.to(rows)) @ inverse.mT.to(rows)
        return moved.reshape(-1, *self.event_shape)

    def log_prob(self, y: Tensor, condition: object = None, *, generator: torch.Generator | None = None) -> Tensor:
        """Log-density in nats of the pushed source Gaussian at `y: (n, *event)`: `(n,)`."""
        return self.pushed.log_prob(self._enter(y, condition))

    def save(self, directory: str | Path) -> Path:
        """Write `transport.json` and `weights.safetensors` to `directory`."""
        return save_transport(self, directory)

    def _enter(self, x: Tensor, condition: object) -> Tensor:
        """Check points and return them as rows `(n, d)`."""
        if condition is not None and (not isinstance(condition, dict) or condition):
            raise InputError("a Gaussian map takes no condition: fit one map for each")
        x = as_samples("x", x)
        check_same_event("x", x.shape[1:], "the map", self.event_shape)
        return x.flatten(1)

    def _hold(self, *state: Tensor) -> GaussianMap:
        """Put the buffers, in the order of their registration, in place."""
        for name, value in zip(dict(self.named_buffers()), state, strict=True):
            setattr(self, name, value.detach().double().clone())
        return self


def _optimal(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """Return T and a factor of the covariance that it misses.

    With `A^1/2 B^1/2 = U S V^T`, singular values above zero only, `T = B^1/2 V U^T A^-1/2`, and what is missing is
    `B^1/2 (I - V V^T) B^1/2`.
    """
    root = symmetric_root(B)
    U, values, Vh = torch.linalg.svd(symmetric_root(A) @ root)
    noise = len(values) * torch.finfo(values.dtype).eps * values.max()
    V = Vh.mT * (values > noise)
    identity = torch.eye(len(values), dtype=values.dtype, device=values.device)
    return root @ V @ U.mT @ inverse_root(A), root @ (identity - V @ V.mT)
