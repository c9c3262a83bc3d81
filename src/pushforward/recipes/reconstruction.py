"""Fine-tuning through the solver: what four Euler steps give back of the points that the flow came from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.maps import FlowTransport, InverseFlow
from pushforward.measures import Empirical, eight_gaussians
from pushforward.metrics import energy_distance
from pushforward.networks import MLP, Adapter, ContractiveResidual, Residual
from pushforward.objectives import ReconstructionLikelihood
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import FixedStep
from pushforward.training import Trainer, fit

__all__ = ["FineTunedGaussians"]


@dataclass(frozen=True)
class FineTunedGaussians(Experiment):
    """Train a flow from noise to eight Gaussians, and fine-tune it for `further` steps by the likelihood of
    reconstructions with 4 Euler steps: all of it (`full`), a residual beside it (`residual`), and one that contracts
    (`contractive`).

    Figures for these and the flow before (`before`): `reconstruction@N NAME`, the mean squared error of giving back
    fresh target points with N Euler steps from where the flow before brings them; `energy distance@4 NAME`; `eigenvalue
    NAME`, the mean over the states of the straight path at t = 0.6 to 0.9 of the largest eigenvalue of the
    symmetric part of the velocity's Jacobian; and `spread NAME`, how far outputs move for input noise of 0.05.
    """

    steps: int = 2000
    further: int = 200
    rows: int = 2000

    def run(self, seed: int) -> Figures:
        """Train, fine-tune twice, compare."""
        target = eight_gaussians()
        data = Empirical(target.sample(20_000, generator=seeded(seed, "data")))
        fresh = target.sample(self.rows, generator=seeded(seed, "fresh"))
        network = MLP(width=128, depth=3)
        before = fit("gaussian", data, network=network, trainer=Trainer(steps=self.steps), seed=seed)
        flows = {
            "before": before,
            "full": self._tuned(before, data, seed, None, 1e-4),
            "residual": self._tuned(before, data, seed, Residual(), 3e-3),
            "contractive": self._tuned(before, data, seed, ContractiveResidual(), 3e-3),
        }
        origin = before.pull(fresh, steps=64, method="rk4")
        found = {name: self._figures(flow, origin, fresh, seed) for name, flow in flows.items()}
        return {f"{figure} {name}": value for name, each in found.items() for figure, value in each.items()}

    def _tuned(
        self, before: FlowTransport, data: Empirical, seed: int, adapter: Adapter | None, rate: float
    ) -> FlowTransport:
        return fit(
            "gaussian", data, init=before, adapter=adapter, coupling=InverseFlow(FixedStep("rk4", 16)),
            objective=ReconstructionLikelihood(), seed=1000 + seed,
            trainer=Trainer(steps=self.further, learning_rate=rate, warmup=20, ema=0.98),
        )  # fmt: skip

    def _figures(self, flow: FlowTransport, origin: Tensor, fresh: Tensor, seed: int) -> Figures:
        noise, shift = torch.randn(2, *fresh.shape, generator=seeded(seed, "noise"))
        pushed = {n: flow.push(origin, steps=n, method="euler") for n in (2, 4, 8)}
        made, moved = (flow.push(x, steps=4, method="euler") for x in (noise, noise + 0.05 * shift))
        return {f"reconstruction@{n}": float((x - fresh).square().mean()) for n, x in pushed.items()} | {
            "energy distance@4": float(energy_distance(made, fresh)),
            "eigenvalue": _largest_eigenvalue(flow, noise, fresh),
            "spread": float((moved - made).norm(dim=1).mean()),
        }

    def pieces(self) -> list[str]:
        """Return what was used."""
        return ["InverseFlow", "ReconstructionLikelihood", "Residual", "ContractiveResidual", "FlowMatching", "MLP"]


def _largest_eigenvalue(flow: FlowTransport, noise: Tensor, target: Tensor) -> float:
    """Return the mean largest eigenvalue of the symmetric part of `dv/dx` on the straight path, in network units."""
    t = torch.linspace(0.6, 0.9, len(noise))
    x = (1 - t)[:, None] * noise + t[:, None] * flow.target_frame.normalise(target)

    def velocity(point: Tensor, time: Tensor) -> Tensor:
        return flow.field.velocity(point[None], time[None])[0]

    jacobian = torch.func.vmap(torch.func.jacrev(velocity))(x, t).detach()
    return float(torch.linalg.eigvalsh((jacobian + jacobian.mT) / 2)[:, -1].mean())
