"""Fields that jump in time: solvers stop at the boundary, remember nothing across it, and ask the right side of it."""

from __future__ import annotations

import warnings

import pytest
import torch

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.solvers import SDE, DormandPrince, FixedStep, log_density


class Jumping:
    """`dx/dt = a x` with another rate a in each of three segments; exact solution by hand. Times asked are noted."""

    boundaries = (0.3, 0.6)
    rates = torch.tensor([2.0, -3.0, 1.0], dtype=torch.float64)

    def __init__(self) -> None:
        self.asked: list[torch.Tensor] = []
        self.entries: list[float] = []

    def velocity(self, x, t, condition=None):
        self.asked.append(t)
        segment = (t[:, None] >= t.new_tensor(self.boundaries)).sum(1)
        return self.rates[segment][:, None] * x

    def score(self, x, t, condition=None):
        return torch.zeros_like(x)

    def entered(self, x, t, condition=None):
        self.entries.append(float(t[0]))
        return {"entered at": t} | (condition or {})

    def growth(self, start, end):
        edges = torch.tensor([0.0, *self.boundaries, 1.0], dtype=torch.float64).clamp(start, end)
        return float((self.rates * edges.diff()).sum().exp())


X = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
GRID = torch.cat([torch.linspace(0, 1, 31, dtype=torch.float64)])


def solver(method, refinement=1):
    from pushforward.solvers import Explicit

    nodes = torch.linspace(0, 1, 30 * refinement + 1, dtype=torch.float64)
    return FixedStep(method, grid=Explicit(tuple(nodes.tolist())))


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4), ("ab2", 2)])
def test_order_is_kept_across_jumps(method, order):
    """A method that used a slope of the other side anywhere would fall to first order."""
    wanted = X * Jumping().growth(0, 1)
    errors = [float((solver(method, n).solve(Jumping(), X).x - wanted).abs().max()) for n in (1, 2)]
    assert errors[0] / errors[1] > 0.8 * 2**order


@pytest.mark.parametrize("method", ["rk4", "ab2"])
def test_backwards_too(method):
    field = Jumping()
    back = solver(method, 2).solve(field, X * field.growth(0, 1), start=1.0, end=0.0).x
    assert (back - X).abs().max() < 1e-2 if method == "ab2" else (back - X).abs().max() < 1e-5
    assert field.entries == []  # what is worked out at the first state of a segment is not known against time


def test_the_field_is_entered_once_a_segment_and_told_so():
    field = Jumping()
    solver("euler").solve(field, X)
    assert field.entries == pytest.approx([0.0, 0.3, 0.6])


def test_adaptive_steps_do_not_notice_the_jumps():
    field, smooth = Jumping(), Jumping()
    smooth.boundaries = ()
    nodes = torch.tensor([0.0, 0.2, 0.3, 0.5, 0.6, 0.9, 1.0], dtype=torch.float64)
    found = DormandPrince(1e-8).solve(field, X, nodes=nodes)
    exact = torch.stack([X * field.growth(0, float(t)) for t in nodes])
    torch.testing.assert_close(found.path, exact, rtol=1e-6, atol=1e-6)
    assert found.converged and found.forced.sum() == 0 and field.entries == [0.0, 0.3, 0.6]
    hidden = Jumping()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rejected = DormandPrince(1e-8).solve(type("Plain", (), {"velocity": hidden.velocity})(), X)
    assert found.evaluations < 0.6 * rejected.evaluations
    back = DormandPrince(1e-8).solve(field, found.x, start=1.0, end=0.0).x
    torch.testing.assert_close(back, X, rtol=1e-5, atol=1e-6)


def test_rows_that_stop_short_are_not_carried_over_a_boundary():
    solver, nodes = DormandPrince(1e-10, max_evaluations=26), torch.tensor([0.0, 0.1, 0.9], dtype=torch.float64)
    with pytest.warns(ConvergenceWarning, match="max_evaluations"):
        found = solver.solve(Jumping(), X, nodes=nodes)
    assert not found.converged and found.reached.max() < 0.31
    exact = torch.stack([row * Jumping().growth(0, float(t)) for row, t in zip(X, found.reached, strict=True)])
    torch.testing.assert_close(found.x, exact, rtol=1e-6, atol=1e-6)
    assert found.path.shape == (3, 6, 2) and found.path[-1].isnan().all()


def test_density_knows_the_jumps():
    """The divergence of `a x` is a d: the log-density falls by its integral."""
    field = Jumping()
    normal = torch.distributions.Normal(0.0, 1.0)
    density = log_density(field, X, lambda x: normal.log_prob(x).sum(1), solver=solver("rk4"))
    growth = field.growth(0, 1)
    wanted = normal.log_prob(X / growth).sum(1) - 2 * torch.tensor(growth).log()
    torch.testing.assert_close(density.log_prob, wanted, rtol=1e-5, atol=1e-5)


def test_stochastic_steps_keep_their_noise_before_a_boundary():
    """Only the very last step is without noise."""
    field = Jumping()
    made = SDE("euler-maruyama", grid=solver("euler").grid).solve(field, X, nodes=GRID, generator=torch.Generator())
    rates = torch.tensor([field.velocity(X[:1], t[None])[0, 0] / X[0, 0] for t in GRID[:-1]])
    quiet = (made.path[1:] - made.path[:-1] * (1 + rates / 30)[:, None, None]).abs().amax((1, 2)) < 1e-9
    assert quiet.tolist() == [False] * 29 + [True]


def test_a_grid_without_the_boundary_is_refused():
    with pytest.raises(InputError, match="requires"):
        FixedStep("euler", steps=7).solve(Jumping(), X)
