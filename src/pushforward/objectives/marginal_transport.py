"""The way to the data in one step: as a flow's velocity says that it changes, and by what one step makes of noise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Loss, Pairs, Path, Sides, Times
from pushforward.errors import InputError
from pushforward.networks import Field
from pushforward.objectives.flow_maps.map_targets import EulerianTarget, Way
from pushforward.objectives.flow_maps.velocities import Taught
from pushforward.objectives.objective import Objective
from pushforward.objectives.regression import Regression
from pushforward.objectives.time import LogitNormal, TimeLaw
from pushforward.solvers import FixedStep

__all__ = ["MarginalTransport"]


@dataclass(frozen=True)
class MarginalTransport(Objective):
    """Learn the average velocity U(x, t) on the way to t = 1, `x + (1 - t) U(x, t) = X_{t,1}(x)`, from a trained flow
    of velocity v, by two losses (MDT-dist): `matching L_VM + distillation L_VD`.

    Velocity matching is the Eulerian identity with its end fixed, `L_VM = E |U - sg[v + (1 - t) D_t U]|^2 / d` at
    states of the path (`target`). Velocity distillation noises what one step makes of noise, `x1 = x0 + U(x0, 0)`, and
    moves it against `g = sg[U - (1 - t) D_t U - v]` there, the velocity that U implies less that of the flow: `L_VD = E
    |U(x0, 0) - sg[U(x0, 0) - g]|^2 / d`. Velocities on a path from N(0, I) differ as scores do, so this descends the
    reverse divergence of what the step makes from what the flow makes. It is for noise only, and alone it can lose
    modes; matching alone is slow while U is far off.

    The network is told one time and starts best as the flow (`init`, which is the one `taught` unless `teacher` names
    another); its Euler steps are jumps, and what it says at t > 0 is no velocity. `time` is the law of t for both.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "zhou2025fewstep",
            "Few-step Flow for 3D Generation via Marginal-Data Transport Distillation",
            "Zhou, Zanwei and Yi, Taoran and Fang, Jiemin and Yang, Chen and Xie, Lingxi and Wang, Xinggang and "
            "Shen, Wei and Tian, Qi",
            2025,
            arxiv="2509.04406",
        ),
    )
    matching: float = 1.0
    distillation: float = 1.0
    taught: Taught = field(default_factory=Taught)
    time: TimeLaw = field(default_factory=lambda: LogitNormal(-1.0, 1.0))
    target: EulerianTarget = field(default_factory=EulerianTarget)

    def __post_init__(self) -> None:
        if min(self.matching, self.distillation) < 0 or self.matching + self.distillation == 0:
            raise InputError(f"MarginalTransport needs weights of at least 0, not both 0, got {self}")

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this objective with its teacher."""
        return replace(self, taught=self.taught.prepared(sides))

    def sampler(self) -> FixedStep:
        """Return one Euler step."""
        return FixedStep("euler", 1)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss, its `terms` the two before their weights. Raises `InputError` for distillation where the
        source is not noise.
        """
        found: dict[str, Loss] = {}
        if self.matching:
            x, t = self._noised(pairs, path, generator)
            said = field.velocity(x, t, pairs.condition)
            found["matching"] = _held(said, self._target(field, x, t, said, pairs), pairs)
        if self.distillation:
            if not pairs.gaussian_source:
                raise InputError("velocities differ as scores do where the source is noise: else take distillation=0")
            start, step = _one_step(field, pairs, path, generator)
            gap = self._gap(field, start + step, pairs, path, generator)
            found["distillation"] = _held(step, step.detach() - gap, pairs)
        total = torch.stack([getattr(self, name) * loss.total for name, loss in found.items()]).sum()
        terms = {name: loss.total.detach() for name, loss in found.items()}
        return Loss(total, terms, next(iter(found.values())).per_sample)

    def _noised(self, pairs: Pairs, path: Path, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return states of the path at random times, and these times."""
        times = self.time.sample(len(pairs), generator=generator, device=pairs.x1.device, dtype=pairs.x1.dtype)
        point = path.point(pairs, times, generator=generator)
        return point.x, point.t

    def _target(self, field: Field, x: Tensor, t: Tensor, said: Tensor, pairs: Pairs) -> Tensor:
        """Return `v + (1 - t) D_t U` at states where the model has `said` U."""

        def u(x: Tensor, s: Tensor, e: Tensor) -> Tensor:
            return field.velocity(x, s, pairs.condition)

        v = self.taught.at(x, t, pairs.condition)
        return self.target(u, Way(x, t, torch.ones_like(t), v, said.detach()))

    @torch.no_grad()
    def _gap(self, field: Field, end: Tensor, pairs: Pairs, path: Path, generator: torch.Generator | None) -> Tensor:
        """Return by how much the velocity that U implies exceeds the flow's, where what a step ended at is noised,
        times the Jacobian of the way that U says is left: the derivative is taken along the flow's velocity.
        """
        noise = torch.randn(end.shape, generator=generator, dtype=end.dtype, device=end.device)
        made = replace(pairs, x0=noise, x1=path.target_end.decode(end, pairs.condition))
        x, t = self._noised(made, path, generator)
        said = field.velocity(x, t, pairs.condition)
        return said - self._target(field, x, t, said, pairs)


def _one_step(field: Field, pairs: Pairs, path: Path, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Return the states at t = 0, and U there."""
    begin = pairs.x1.new_zeros(len(pairs))
    start = path.point(pairs, Times(begin, begin, begin), generator=generator).x
    return start, field.velocity(start, begin, pairs.condition)


def _held(said: Tensor, target: Tensor, pairs: Pairs) -> Loss:
    return Regression(said, (target,), pairs, (None,), ("velocity",)).loss()
