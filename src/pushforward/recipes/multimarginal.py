"""One model for several distributions: closed form, translations between shapes, and the cheapest route."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pushforward.couplings import Independent
from pushforward.maps import cheapest_route, transport_cost
from pushforward.measures import Gaussian, as_measure
from pushforward.metrics import sliced_wasserstein2
from pushforward.networks import MLP, VertexField
from pushforward.objectives import VertexRegression
from pushforward.paths import Route
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.training import Trainer, fit, fit_multimarginal

__all__ = ["GaussianMarginals", "GaussianVertices", "Translations"]


@dataclass(frozen=True)
class GaussianVertices:
    """The closed form for independent `N(m_k, C_k)`: `g_k = m_k + alpha_k C_k (sum_j alpha_j^2 C_j)^-1 (x - sum_j
    alpha_j m_j)`. `means: (K + 1, d)`, `covariances: (K + 1, d, d)`.
    """

    means: Tensor
    covariances: Tensor

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(d,)`."""
        return tuple(self.means.shape[1:])

    @cached_property
    def measures(self) -> list[Gaussian]:
        """The marginals."""
        return [Gaussian(m, C) for m, C in zip(self.means, self.covariances, strict=True)]

    def vertices(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Return all g_k at `x: (B, d)`, `alpha: (B, K + 1)`: `(B, K + 1, d)`."""
        total = torch.einsum("bk,kde->bde", alpha.square(), self.covariances.to(x))
        residual = torch.linalg.solve(total, (x - alpha @ self.means.to(x))[..., None])[..., 0]
        return self.means.to(x) + alpha[..., None] * torch.einsum("kde,be->bkd", self.covariances.to(x), residual)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw stacked points of all marginals: `(n, K + 1, d)`."""
        return torch.stack([measure.sample(n, generator=generator) for measure in self.measures], 1)


def three_gaussians(d: int, generator: torch.Generator) -> GaussianVertices:
    """Return two Gaussians at a distance and a wide one between them, all of random shape.

    Independent points of the first two average out halfway, so that the straight flow contracts and expands again; the
    wide one keeps their spread.
    """
    factors = torch.eye(d) + 0.1 * torch.randn(3, d, d, generator=generator)
    covariances = factors @ factors.mT * torch.tensor([1.0, 1.0, 6.0])[:, None, None]
    means = torch.stack([-0.25 * torch.ones(d), 0.25 * torch.ones(d), torch.zeros(d)])
    return GaussianVertices(means, covariances)


@dataclass(frozen=True)
class GaussianMarginals(Experiment):
    """Learn two Gaussians and a wider one between them in `size` dimensions, without telling the network that its
    answers add up to the state, and look for the cheapest route from the first to the second.

    Figures: `relative error` of all g_k at random weights against the closed form, `identity error`, of `sum_k alpha_k
        g_k` against x, both root mean square; `edge cost` and `route cost` on the learned field, and their difference
        in standard errors (`saving`); the same two costs with the closed form (`exact edge cost`, `exact route cost`),
        and the largest `third weight` along the route.
    """

    size: int = 3
    steps: int = 3000
    rows: int = 4000

    def run(self, seed: int) -> Figures:
        """Fit with this seed and compare."""
        truth = three_gaussians(self.size, seeded(seed, "gaussians"))
        transport = fit_multimarginal(
            truth.measures, network=MLP(width=128, depth=3), objective=VertexRegression(edges=0.1), projected=False,
            trainer=Trainer(steps=self.steps, learning_rate=3e-3), normalise="none", seed=seed, show_progress=False,
        )  # fmt: skip
        return self._errors(transport.field, truth, seed) | self._costs(transport.field, truth, seed)

    @torch.no_grad()
    def _errors(self, field: VertexField, truth: GaussianVertices, seed: int) -> Figures:
        generator = seeded(seed, "errors")
        ends = truth.draw(self.rows, generator)
        alpha = VertexRegression(edges=0.0).weights(*ends.shape[:2], like=ends, generator=generator)
        x = (alpha[..., None] * ends).sum(1)
        found, exact = field.vertices(x, alpha), truth.vertices(x, alpha)
        total = (alpha[..., None] * found).sum(1)
        return {
            "relative error": float((found - exact).norm() / exact.norm()),
            "identity error": float((total - x).norm() / x.norm()),
        }

    def _costs(self, field: VertexField, truth: GaussianVertices, seed: int) -> Figures:
        generator, edge = seeded(seed, "route"), Route.edge(0, 1, 3)
        points = truth.draw(self.rows, generator)
        route = cheapest_route(field, 0, 1, points, steps=200, batch_size=256, generator=generator)
        fresh = truth.draw(self.rows, generator)
        (straight, error0), (learned, error1) = (transport_cost(field, path, fresh) for path in (edge, route))
        exact = [transport_cost(truth, path, fresh)[0] for path in (edge, route)]
        return {
            "edge cost": float(straight),
            "route cost": float(learned),
            "saving": float((straight - learned) / (error0.square() + error1.square()).sqrt()),
            "exact edge cost": float(exact[0]),
            "exact route cost": float(exact[1]),
            "third weight": float(route(torch.linspace(0, 1, 101))[0][:, 2].max()),
        }

    def pieces(self) -> list[str]:
        """Return what was used."""
        return ["VertexField", "VertexRegression", "Route", "MLP"]


@dataclass(frozen=True)
class Translations(Experiment):
    """Learn moons, circles and a Gaussian at once, and each of the six translations by a flow of its own with the same
    network, batch and number of steps.

    Figures for the pair i to j: `ratio i-j`, the sliced W2 of the one model's translation over that of the dedicated
        flow; `worst ratio` and `median ratio` of the six; `sliced W2 one` and `sliced W2 dedicated`, the means.
    """

    names: tuple[str, ...] = ("moons-torchdyn", "circles", "gaussian:2")
    steps: int = 1500
    rows: int = 4000

    def run(self, seed: int) -> Figures:
        """Fit one model and six flows, translate the same points with both."""
        trainer, network = Trainer(steps=self.steps, learning_rate=2e-3), MLP(width=128, depth=3)
        measures = [as_measure(name) for name in self.names]
        one = fit_multimarginal(
            measures, network=network, trainer=trainer, seed=seed, show_progress=False,
            objective=VertexRegression(edges=0.6),
        )  # fmt: skip
        figures, own, other = {}, [], []
        for i, source in enumerate(measures):
            for j, target in enumerate(measures):
                if i == j:
                    continue
                dedicated = fit(source, target, network=network, trainer=trainer, seed=seed, show_progress=False,
                                coupling=Independent())  # fmt: skip
                x, y = (m.sample(self.rows, generator=seeded(seed, "rows", k)) for k, m in ((i, source), (j, target)))
                for moved, distances in (
                    (one.between(i, j).push(x, steps=16), own),
                    (dedicated.push(x, steps=16), other),
                ):
                    distances.append(float(sliced_wasserstein2(moved, y, generator=seeded(seed, "directions"))))
                figures[f"ratio {i}-{j}"] = own[-1] / other[-1]
        ratios = sorted(figures.values())
        return figures | {
            "worst ratio": ratios[-1],
            "median ratio": (ratios[2] + ratios[3]) / 2,
            "sliced W2 one": sum(own) / 6,
            "sliced W2 dedicated": sum(other) / 6,
        }

    def pieces(self) -> list[str]:
        """Return what was used."""
        return ["VertexField", "VertexRegression", "Route", "MLP", "Independent", "FlowMatching"]
