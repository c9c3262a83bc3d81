"""A transport made of a plan between samples: its potentials carry points that the plan has never seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import encode
from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.geometry import Cost, SquaredEuclidean
from pushforward.maps.store import save_transport
from pushforward.maps.transport import Transport
from pushforward.ot import EntropicPlan, Plan, SparsePlan
from pushforward.tensors import as_samples, check_same_event

__all__ = ["PlanTransport"]

BLOCK = 1 << 22
"""Costs that are held at once."""


class PlanTransport(nn.Module, Recorded, Transport):
    """Carries points as a discrete transport plan carries its own.

    With `epsilon` (an entropic plan) a source point z goes where the plan's conditional law, extended by its potential,
    sends it on average:

        push(z) = sum_j w_j y_j,    w_j proportional to b_j exp((g_j - c(z, y_j)) / epsilon).

    Without (an exact plan) it goes to the one `y_j` of least `c(z, y_j) - g_j`: space is cut into cells, those of a
    power diagram for squared distances. Several `y_j` may tie at the plan's own points, so these go where the plan
    sends them on average. `pull` is the map of the reversed plan; it inverts `push` only as far as the plan is a
    bijection.

    The whole state is the points, weights and potentials of both sides. Source: Pooladian and Niles-Weed, *Entropic
    estimation of optimal transport maps* (2021).
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "pooladian2021entropic", "Entropic estimation of optimal transport maps",
            "Pooladian, Aram-Alexandre and Niles-Weed, Jonathan", 2021, arxiv="2109.12004",
        ),
    )  # fmt: skip

    def __init__(
        self,
        cost: Cost,
        epsilon: float | None,
        sizes: tuple[int, int],
        event_shape: tuple[int, ...],
        dtype: str = "float32",
        names: tuple[str, ...] | None = None,
    ) -> None:
        """Make room for `sizes` points on either side; `of` fills it. `names` are the features' names in the target."""
        super().__init__()
        self.cost, self.epsilon, self.names = cost, epsilon, names
        self.event_shape = tuple(event_shape)
        n, m = sizes
        self.source, self.target = (
            _Side(size, self.event_shape, getattr(torch, dtype), remembers=epsilon is None) for size in (n, m)
        )

    @classmethod
    def of(
        cls, plan: Plan, *, event_shape: tuple[int, ...] | None = None, names: tuple[str, ...] | None = None
    ) -> PlanTransport:
        """Return the transport of a plan between points `(n, d)`.

        `event_shape` is the shape that a point had before it was flattened, `(d,)` if not given. Raises `InputError`
        for plans that cannot be extended: of a cost matrix, of many problems, or with a quadratic penalty.
        """
        epsilon, f, g = _potentials(plan)
        problem = plan.problem
        (x, y), cost = problem.points(), problem.cost
        if isinstance(cost, Tensor):
            raise InputError("a plan of a cost matrix cannot carry new points: give points and a Cost to solve")
        shape = tuple(x.shape[1:]) if event_shape is None else event_shape
        made = cls(cost, epsilon, problem.shape, shape, _name(x.dtype), names).to(x.device)
        exact = epsilon is None
        made.source.fill(x, problem.a, f, plan.barycentric_map() if exact else None)
        made.target.fill(y, problem.b, g, _backwards(plan) if exact else None)
        return made.eval()

    @classmethod
    def of_potential(
        cls,
        y: Tensor,
        g: Tensor,
        b: Tensor | None = None,
        *,
        cost: Cost = SquaredEuclidean(),
        epsilon: float | None = None,
        names: tuple[str, ...] | None = None,
    ) -> PlanTransport:
        """Return the transport of a continuous source onto `y: (m, *event)` with potential `g: (m,)`, as semi-discrete
        transport finds it; weights `b` are uniform unless given. There is no `pull`: the source has no points.

        Raises `InputError` for points and potentials that do not go together.
        """
        if y.ndim < 2 or g.shape != y.shape[:1]:
            raise InputError(
                f"y is {tuple(y.shape)} and g {tuple(g.shape)}: wanted points (m, ...) and potentials (m,)"
            )
        weights = torch.full_like(g, 1 / len(g)) if b is None else b
        made = cls(cost, epsilon or None, (0, len(y)), tuple(y.shape[1:]), _name(y.dtype), names).to(y.device)
        made.target.fill(y.flatten(1), weights, g, None)
        return made.eval()

    @property
    def device(self) -> torch.device:
        """Where the points are."""
        return self.target.points.device

    def push(self, x: Tensor, condition: object = None, *, generator: torch.Generator | None = None) -> Tensor:
        """Carry source points `x: (n, *event)` to the target, in their own dtype; nothing is random.

        Raises `InputError` for bad points, and for a condition: a plan knows none.
        """
        x = self._enter("x", x, condition)
        return self._carry(x, self.source, self.target, lambda z: self.cost.pairwise(z, self.target.points))

    def pull(self, y: Tensor, condition: object = None, *, generator: torch.Generator | None = None) -> Tensor:
        """Carry target points `y: (n, *event)` to the source by the reversed plan.

        Raises `InputError` as `push` does, and where the source is continuous.
        """
        if not len(self.source.points):
            raise InputError("this transport has no pull: its source is continuous and has no points to go back to")
        y = self._enter("y", y, condition)
        return self._carry(y, self.target, self.source, lambda z: self.cost.pairwise(self.source.points, z).mT)

    def save(self, directory: str | Path) -> Path:
        """Write `transport.json` and `weights.safetensors` to `directory`."""
        return save_transport(self, directory)

    def _enter(self, name: str, x: Tensor, condition: object) -> Tensor:
        x = as_samples(name, x)
        check_same_event(name, x.shape[1:], "the transport", self.event_shape)
        encode(condition, {}, len(x))
        return x

    @torch.no_grad()
    def _carry(self, x: Tensor, start: _Side, end: _Side, cost: Callable[[Tensor], Tensor]) -> Tensor:
        z = x.flatten(1).to(end.points)
        moved, known = start.recall(z)
        for rows in (~known).nonzero()[:, 0].split(max(1, BLOCK // len(end.points))):
            moved[rows] = end.attract(cost(z[rows]), self.epsilon)
        return moved.to(x.dtype).unflatten(1, self.event_shape)


class _Side(nn.Module):
    """One side of a plan: points `(n, d)`, their weights and potential `(n,)`.

    If it `remembers`, also where the plan sends each point on average, `image: (n, d)`; rows without mass are NaN.
    """

    points: Tensor
    weights: Tensor
    potential: Tensor
    image: Tensor

    def __init__(self, size: int, event_shape: tuple[int, ...], dtype: torch.dtype, *, remembers: bool) -> None:
        super().__init__()
        features = math.prod(event_shape)
        self.register_buffer("points", torch.zeros(size, features, dtype=dtype))
        self.register_buffer("weights", torch.zeros(size, dtype=dtype))
        self.register_buffer("potential", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("image", torch.zeros(size if remembers else 0, features, dtype=dtype))

    @torch.no_grad()
    def fill(self, points: Tensor, weights: Tensor, potential: Tensor, image: Tensor | None) -> None:
        """Take over the figures of a plan."""
        self.points.copy_(points)
        self.weights.copy_(weights)
        self.potential.copy_(potential)
        if image is not None:
            self.image.copy_(image)

    def recall(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images of those `z: (k, d)` that are points of this side, and which they are: `(k,)` booleans.

        Equal points share the mean of their images.
        """
        held = self.image.isfinite().all(1).nonzero()[:, 0]
        if not len(held):
            return torch.empty_like(z), torch.zeros_like(z[:, 0], dtype=torch.bool)
        _, label = torch.cat([self.points[held], z]).unique(dim=0, return_inverse=True)
        own, new = label[: len(held)], label[len(held) :]
        mass = z.new_zeros(int(label.max()) + 1).index_add(0, own, self.weights[held])
        weighted = self.weights[held].unsqueeze(1) * self.image[held]
        image = z.new_zeros(len(mass), z.shape[1]).index_add(0, own, weighted) / mass.unsqueeze(1)
        return image[new], mass[new] > 0

    def attract(self, cost: Tensor, epsilon: float | None) -> Tensor:
        """Return where points go whose costs to this side are `cost: (k, n)`: `(k, d)`."""
        exponent = (self.potential - cost).masked_fill(self.weights == 0, -torch.inf)
        if epsilon is None:
            return self.points[exponent.argmax(1)]
        exponent = exponent / epsilon + self.weights.log()
        return torch.softmax(exponent, 1).to(self.points.dtype) @ self.points


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _backwards(plan: Plan) -> Tensor:
    """Return where each target point comes from on average, `(m, d)`; columns without mass give NaN."""
    x, _ = plan.problem.points()
    return plan.transpose_apply(x) / plan.marginals()[1].unsqueeze(-1)


def _potentials(plan: Plan) -> tuple[float | None, Tensor, Tensor]:
    """Return the regularisation and the potentials of a plan that can be extended."""
    if plan.problem.batch:
        raise InputError("a transport is made of one plan, not of many: solve the problems one by one")
    if isinstance(plan, EntropicPlan):
        return plan.epsilon, plan.row_potential, plan.column_potential
    if type(plan) is SparsePlan:
        return None, plan.f, plan.g
    raise InputError(f"a {type(plan).__name__} does not extend to new points: solve exactly, or with epsilon")
