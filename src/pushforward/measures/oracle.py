"""The exact field of an affine path between Gaussians or Gaussian mixtures: what every method that learns one is tested
against.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.configuration import Recorded
from pushforward.contracts import Coefficients, ScheduleFn
from pushforward.errors import InputError
from pushforward.measures._component_pairs import ComponentPairs, Located, pair_components
from pushforward.measures._flow_maps import Scales, gaussian_flow, integrated_flow, quantile_flow
from pushforward.measures._linear import check_points
from pushforward.measures.gaussian import Gaussian
from pushforward.measures.mixture import GaussianMixture

__all__ = ["AffineOracle"]

QUADRATURE_NODES = 64


class AffineOracle(Recorded):
    """Closed forms of `x_t = alpha_t x1 + sigma_t x0` for independent `x0 ~ source` and `x1 ~ target`, under any
    schedule.

    Each pair of a source and a target component contributes a Gaussian of mean `m_t = alpha m1 + sigma m0` and
    covariance `C_t = alpha^2 C1 + sigma^2 C0`. Given the pair, the expected ends are `E[x1 | x] = m1 + alpha C1 C_t^-1
    (x - m_t)` and `E[x0 | x] = m0 + sigma C0 C_t^-1 (x - m_t)`; the pairs are mixed by their posterior probabilities.
    Nothing is divided by alpha or sigma, so both ends are exact wherever the schedule's derivatives are finite.

    `x: (B, d)` of any dtype and device; `t: (B,)`. It serves wherever a `VelocityField` is asked for (`condition` is
    ignored), and is differentiable in x and t.

    >>> from pushforward.paths import CondOT
    >>> oracle = AffineOracle(Gaussian.standard(2), Gaussian([3.0, 0.0]), CondOT())
    >>> oracle.flow_map(torch.zeros(1, 2), 0.0, 1.0)
    tensor([[3., 0.]])
    """

    def __init__(
        self, source: Gaussian | GaussianMixture, target: Gaussian | GaussianMixture, schedule: ScheduleFn
    ) -> None:
        """Factor every pair of components once. Raises `InputError` for other measures and for points of different
        size.
        """
        self.source, self.target, self.schedule = source, target, schedule
        self._pairs = pair_components(source, target)
        self._cast: dict[tuple[torch.dtype, torch.device], ComponentPairs] = {}

    def _tables(self, x: Tensor) -> ComponentPairs:
        key = (x.dtype, x.device)
        if key not in self._cast:
            self._cast[key] = self._pairs.to(x)
        return self._cast[key]

    def _locate(self, x: Tensor, t: Tensor) -> tuple[ComponentPairs, Coefficients, Located]:
        check_points(x, (self._pairs.ratio.shape[1],))
        pairs, c = self._tables(x), self.schedule(t.expand(x.shape[0]))
        return pairs, c, pairs.locate(x, c.alpha, c.sigma)

    def log_prob(self, x: Tensor, t: Tensor) -> Tensor:
        """Log-density of the state at time t: `(B,)`."""
        return self._locate(x, t)[2].log_joint.logsumexp(1)

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Marginal velocity `E[alpha' x1 + sigma' x0 | x_t = x]`: `(B, d)`."""
        pairs, c, located = self._locate(x, t)
        gain = (c.alpha * c.d_alpha)[:, None, None] * pairs.ratio + (c.sigma * c.d_sigma)[:, None, None]
        responsibility = located.log_joint.softmax(1)
        ends = c.d_alpha[:, None] * (responsibility @ pairs.target_mean) + c.d_sigma[:, None] * (
            responsibility @ pairs.source_mean
        )
        return ends + _mixed(responsibility, gain * located.y / located.spread, pairs.unwhiten.mT)

    def data(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Denoiser `E[x1 | x_t = x]`: `(B, d)`."""
        pairs, c, located = self._locate(x, t)
        responsibility = located.log_joint.softmax(1)
        gain = c.alpha[:, None, None] * pairs.ratio
        return responsibility @ pairs.target_mean + _mixed(
            responsibility, gain * located.y / located.spread, pairs.unwhiten.mT
        )

    def noise(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Expected source point `E[x0 | x_t = x]`: `(B, d)`."""
        pairs, c, located = self._locate(x, t)
        responsibility = located.log_joint.softmax(1)
        gain = c.sigma[:, None, None]
        return responsibility @ pairs.source_mean + _mixed(
            responsibility, gain * located.y / located.spread, pairs.unwhiten.mT
        )

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Gradient of `log_prob` in x, the marginal score, whatever the source: `(B, d)`."""
        pairs, _, located = self._locate(x, t)
        return -_mixed(located.log_joint.softmax(1), located.y / located.spread, pairs.whiten)

    def sample(self, n: int, t: Tensor | float, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent states at time `t`, a number or `(n,)`: `(n, d)`."""
        x0, x1 = self.source.sample(n, generator=generator), self.target.sample(n, generator=generator)
        c = self.schedule(torch.as_tensor(t, dtype=x1.dtype, device=x1.device).expand(n))
        return c.alpha[:, None] * x1 + c.sigma[:, None] * x0

    def flow_map(self, x: Tensor, s: Tensor | float, e: Tensor | float) -> Tensor:
        """Move `x: (B, d)` from time `s` to time `e` (either direction; numbers or `(B,)`) along `dx/dt = velocity`.

        Two Gaussians: `m_e + V sqrt(L_e / L_s) V^-1 (x - m_s)`, where V diagonalises the covariances at all times at
        once. One dimension: the quantile map, to rounding. Both are differentiable in x, s and e. Otherwise:
        integration to 1e-10, without gradients.
        """
        check_points(x, (self._pairs.ratio.shape[1],))
        start, end = self._scales(x, s), self._scales(x, e)
        if len(self._pairs.ratio) == 1:
            return gaussian_flow(self._tables(x), x, start, end)
        exact = x.double()
        start, end = _moved(start, exact), _moved(end, exact)
        if x.shape[1] == 1:
            return quantile_flow(self._tables(exact), exact, start, end).to(x)
        on_cpu = exact.detach().cpu()
        linear = AffineOracle(self.source, self.target, _linear)
        with torch.no_grad():
            return integrated_flow(linear.velocity, on_cpu, _moved(start, on_cpu), _moved(end, on_cpu)).to(x)

    def _scales(self, x: Tensor, t: Tensor | float) -> Scales:
        c = self.schedule(torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(x.shape[0]))
        return c.alpha, c.sigma

    def mean_velocity(
        self, x: Tensor, s: Tensor | float, e: Tensor | float, condition: Condition | None = None
    ) -> Tensor:
        """Average velocity on the way from time `s` to time `e`: `(flow_map(x, s, e) - x) / (e - s)`, the velocity
        itself where `e = s`: `(B, d)`.
        """
        s, e = (torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(x.shape[0]) for t in (s, e))
        still = e == s
        gap = torch.where(still, 1.0, e - s)[:, None]
        return torch.where(still[:, None], self.velocity(x, s), (self.flow_map(x, s, e) - x) / gap)

    def straightness(self) -> float:
        """`integral_0^1 E |X_1 - X_0 - dX_t/dt|^2 dt` of the flow between two Gaussians: zero exactly when one Euler
        step is exact.

        On the linear path it is `(2 - pi / 2) sum_i sigma0_i sigma1_i` for diagonal covariances. Raises `InputError`
        for mixtures.
        """
        nodes, weights = (torch.from_numpy(part) / 2 for part in np.polynomial.legendre.leggauss(QUADRATURE_NODES))
        c = self.schedule(nodes + 0.5)
        pairs, drift, growth = self._displacement()
        speed = c.d_alpha[:, None] * pairs.target_mean[0] + c.d_sigma[:, None] * pairs.source_mean[0]
        spread = c.alpha[:, None] ** 2 * pairs.ratio[0] + c.sigma[:, None] ** 2
        rate = ((c.alpha * c.d_alpha)[:, None] * pairs.ratio[0] + (c.sigma * c.d_sigma)[:, None]) / spread.sqrt()
        return float(weights @ (((drift - speed) ** 2).sum(1) + ((growth - rate) ** 2) @ _squared_columns(pairs)))

    def flow_cost(self) -> float:
        """`E |X_1 - X_0|^2` of the flow between two Gaussians.

        For diagonal covariances `|m1 - m0|^2 + sum_i (sigma1_i - sigma0_i)^2`, the squared W2 distance. Raises
        `InputError` for mixtures.
        """
        pairs, drift, growth = self._displacement()
        return float((drift**2).sum() + (growth**2) @ _squared_columns(pairs))

    def _displacement(self) -> tuple[ComponentPairs, Tensor, Tensor]:
        """Return the tables, and how mean and deviations `(d,)` grow between the states at times 0 and 1."""
        pairs = self._pairs
        if len(pairs.ratio) > 1:
            raise InputError(
                "straightness and flow_cost are known for two Gaussians only: measure them on samples of flow_map"
            )
        c = self.schedule(torch.tensor([0.0, 1.0], dtype=torch.float64))
        means = pairs.means(c.alpha, c.sigma)[:, 0]
        deviations = (c.alpha[:, None] ** 2 * pairs.ratio[0] + c.sigma[:, None] ** 2).sqrt()
        return pairs, means[1] - means[0], deviations[1] - deviations[0]

    def independent_cost(self) -> float:
        """`E |x1 - x0|^2 = |m1 - m0|^2 + tr C0 + tr C1` of the independent coupling, with the overall means and
        covariances.
        """
        drift = (self.target.mean - self.source.mean).double()
        return float(
            (drift**2).sum() + self.source.covariance.double().trace() + self.target.covariance.double().trace()
        )


def _mixed(responsibility: Tensor, coordinates: Tensor, basis: Tensor) -> Tensor:
    """Sum `responsibility_k coordinates_k` in the rows of `basis: (K, d, d)` over all pairs of components: `(B, d)`."""
    return (responsibility[:, :, None] * coordinates).flatten(1) @ basis.flatten(0, 1)


def _squared_columns(pairs: ComponentPairs) -> Tensor:
    """Return the squared lengths of the columns of V, what one unit of each whitened coordinate contributes to `|x|^2`:
    `(d,)`.
    """
    return (pairs.unwhiten[0] ** 2).sum(0)


def _moved(scales: Scales, x: Tensor) -> Scales:
    """Return the scales in the dtype and on the device of `x`."""
    return scales[0].to(x), scales[1].to(x)


def _linear(t: Tensor) -> Coefficients:
    """Return the coefficients of the linear path, the frame in which every flow is integrated."""
    return Coefficients(t, 1 - t, torch.ones_like(t), -torch.ones_like(t))
