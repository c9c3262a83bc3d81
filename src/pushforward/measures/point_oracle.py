"""The exact field of an affine path from any source with a density to a finite set of points: what a network that
memorised its data would predict.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Coefficients, ScheduleFn
from pushforward.errors import InputError
from pushforward.measures._linear import check_points
from pushforward.measures.measure import Measure
from pushforward.tensors import as_samples, check_same_event

__all__ = ["PointOracle"]


class PointOracle:
    """Closed forms of `x_t = alpha_t x1 + sigma_t x0` for independent `x0 ~ source` and `x1` uniform on `points`.

    Given the state, point j has the posterior probability `p_j ~ p0((x - alpha y_j) / sigma)`; every mean is one under
    it. For `StudentT(degrees=D)` and `alpha = 1` this is the kernel `(|x - y|^2 + r^2)^(-(N+D)/2)` of PFGM++.

    Serves wherever a `VelocityField` is asked for (`condition` is ignored). Off the points the velocity is infinite
    where sigma is zero, so times are held at `last`.
    """

    def __init__(self, source: Measure, points: Tensor, schedule: ScheduleFn, last: float = 1 - 1e-5) -> None:
        """Hold the points `(n, *event)`. Raises `InputError` for points unlike the source's."""
        self.source, self.points, self.schedule, self.last = source, as_samples("points", points), schedule, last
        check_same_event("the source", source.event_shape, "points", self.points.shape[1:])
        if not 0 < last < 1:
            raise InputError(f"last must be a time inside (0, 1), got {last}")

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Marginal velocity `(sigma' x + Delta E[x1 | x]) / sigma`: `(B, *event)`."""
        c, _, data = self._posterior(x, t)
        flat = (c.d_sigma[:, None] * x.flatten(1) + c.delta[:, None] * data.flatten(1)) / c.sigma[:, None]
        return flat.reshape(x.shape)

    def data(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Denoiser `E[x1 | x_t = x]`: `(B, *event)`."""
        return self._posterior(x, t)[2]

    def log_prob(self, x: Tensor, t: Tensor) -> Tensor:
        """Log-density of the state at time t: `(B,)`."""
        c, log_joint, _ = self._posterior(x, t)
        return log_joint.logsumexp(1) - c.sigma.log() * x[0].numel()

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Gradient of `log_prob` in x, by differentiation: `(B, *event)`."""
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            return torch.autograd.grad(self.log_prob(at, t).sum(), at)[0]

    def _posterior(self, x: Tensor, t: Tensor) -> tuple[Coefficients, Tensor, Tensor]:
        """Return the coefficients, `log p0((x - alpha y_j) / sigma) / n` for every row and point, and the mean."""
        check_points(x, self.source.event_shape)
        c, y = self.schedule(t.expand(len(x)).clamp(max=self.last)), self.points.to(x)
        wide = (-1, *([1] * x.ndim))
        x0 = (x[:, None] - c.alpha.reshape(wide) * y) / c.sigma.reshape(wide)
        log_joint = self.source.log_prob(x0.flatten(0, 1)).reshape(len(x), len(y))
        return c, log_joint - torch.tensor(len(y)).log(), (log_joint.softmax(1) @ y.flatten(1)).reshape(x.shape)
