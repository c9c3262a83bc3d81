"""Students of one flow to a ring of Gaussians: how far they are from it, and whether they kept all of its modes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pushforward.configuration import build
from pushforward.distillation import distil
from pushforward.measures import AffineOracle, Gaussian, VelocityOracle, ring
from pushforward.networks import MixturePolicy, expected_targets
from pushforward.paths import CondOT
from pushforward.randomness import seeded
from pushforward.recipes.distances import sliced
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.recipes.flows import ring_flow
from pushforward.solvers.affine_steps import coefficients
from pushforward.training import Trainer

__all__ = ["ExactPolicy", "RingStudents"]

MODES, RADIUS, NEAR = 8, 2.0, 0.45


@dataclass(frozen=True)
class RingStudents(Experiment):
    """Train a flow from noise to the ring of eight Gaussians, and distil it to one step by each of `methods`.

    Figures, on 10,000 points and of NAME in N evaluations, 1 unless `evaluations` says otherwise (`teacher`: in 1 and
    100 Euler steps): `sliced W2@N NAME` to the ring (`floor`: of two samples of it), `near@N NAME`, the share of
    points within 0.45, three deviations, of a mode, and `smallest mode@N NAME`, `largest mode@N NAME`, the shares of
    points to which a mode is nearest, over an eighth. `training` and `width` are those of the teacher, `trainer` the
    options of each distillation.
    """

    methods: dict[str, dict[str, Any]]
    evaluations: dict[str, list[int]] = field(default_factory=dict)
    training: int = 1500
    width: int = 96
    trainer: dict[str, Any] = field(default_factory=dict)

    def run(self, seed: int) -> Figures:
        """Train all of them and measure each."""
        teacher, target = ring_flow(self.training, self.width, seed), ring()
        x0 = torch.randn(10_000, 2, generator=seeded(seed, "noise"))
        x1, fresh = (target.sample(len(x0), generator=seeded(seed, name)) for name in ("target", "fresh"))
        figures = {"floor": sliced(fresh, x1)}
        for steps in (1, 100):
            figures |= _figures(f"@{steps} teacher", teacher.push(x0, steps=steps, method="euler"), x1)
        for name, method in self.methods.items():
            student = distil(
                teacher, build(method), steps=1, source="gaussian", target=target, seed=seed,
                trainer=Trainer(**self.trainer), show_progress=False,
            )  # fmt: skip
            for steps in self.evaluations.get(name, [1]):
                figures |= _figures(f"@{steps} {name}", student.push(x0, steps=steps), x1)
        return figures

    def pieces(self) -> list[str]:
        """Return the classes used."""
        return class_names(self.methods)


def _figures(name: str, x: Tensor, x1: Tensor) -> Figures:
    angle = torch.arange(MODES) * (2 * torch.pi / MODES)
    distance, mode = torch.cdist(x, RADIUS * torch.stack([angle.cos(), angle.sin()], 1)).min(1)
    shares = mode.bincount(minlength=MODES) * (MODES / len(x))
    return {
        f"sliced W2{name}": sliced(x, x1),
        f"near{name}": float((distance < NEAR).double().mean()),
        f"smallest mode{name}": float(shares.min()),
        f"largest mode{name}": float(shares.max()),
    }


@dataclass(frozen=True)
class ExactPolicy(Experiment):
    """Let the exact law of the velocity between noise and the ring say a policy at t = 0.2, and ask it at other states.

    The figure `error` is the largest distance of an entry of the expected target at t = 0.5, 0.9 and 0.99 from the
    closed form, in double precision.
    """

    rows: int = 200

    def run(self, seed: int) -> Figures:
        """Compare."""
        noise, at = Gaussian.standard(2), partial(coefficients, CondOT())
        oracle, law = AffineOracle(noise, ring(), CondOT()), VelocityOracle(noise, ring(), CondOT())
        first, s = (
            oracle.sample(self.rows, 0.2, generator=seeded(seed, "states")).double(),
            torch.full((self.rows,), 0.2),
        )
        anchor = at(s.double())
        policy = MixturePolicy(
            law.mixture(first, s.double()).affine(*expected_targets(first, anchor)), first, anchor, at
        )
        errors = []
        for time in (0.5, 0.9, 0.99):
            x, t = oracle.sample(self.rows, time, generator=seeded(seed, "others")).double(), s.double() * 0 + time
            errors.append(float((policy.data(x, t) - oracle.data(x, t)).abs().max()))
        return {"error": max(errors)}

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["VelocityOracle", "MixturePolicy"]
