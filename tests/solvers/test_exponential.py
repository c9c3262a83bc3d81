"""Exponential integrators and the pseudo-corrector: against closed forms, their costs and their ends."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from oracles import F64, Counting, Flow, gaussian_oracle, points

from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture
from pushforward.networks import MLP, ClassifierFree, Field
from pushforward.paths import VE, VP, Affine, BrownianBridge, CondOT, LinearVP, Trig
from pushforward.solvers import FixedStep, Piecewise

SCHEDULES = [CondOT(), Trig(), VP(), LinearVP()]
STANDARD = Gaussian(torch.zeros(2, dtype=F64))
ORDER = {"ddim": 1, "dpm++2m": 2}


class ToOnePoint:
    """The flow of every path to a single point, where the predicted target never changes."""

    def __init__(self, schedule, point):
        self.schedule, self.point = schedule, point

    def velocity(self, x, t, condition=None):
        alpha, sigma, d_alpha, d_sigma = (c[:, None] for c in self.schedule(t))
        return d_alpha * self.point + d_sigma * (x - alpha * self.point) / sigma


def error(method, steps, oracle, x, exact, start, end):
    field = Counting(oracle)
    field.schedule = oracle.schedule
    solution = FixedStep(method, steps).solve(field, x, start=start, end=end)
    assert solution.evaluations == field.calls == steps + (method == "pseudo-corrector")
    return float((solution.x - exact).square().mean().sqrt())


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("method", ORDER)
def test_a_prediction_that_does_not_change_is_followed_exactly(schedule, method):
    point, x0 = torch.tensor([3.0, -2.0], dtype=F64), points(5)
    end = schedule(torch.tensor([0.9], dtype=F64))
    x = (
        FixedStep(method, 4)
        .solve(ToOnePoint(schedule, point), schedule(torch.zeros(1, dtype=F64)).sigma * x0, end=0.9)
        .x
    )
    start = schedule(torch.zeros(1, dtype=F64))  # the state that sampling starts from lacks alpha_0 x1
    x0 = (start.sigma * x0 - start.alpha * point) / start.sigma
    assert torch.allclose(x, end.alpha * point + end.sigma * x0, atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("method", ORDER)
@pytest.mark.parametrize("start, end", [(0.1, 0.9), (0.9, 0.1), (0.0, 0.8), (0.8, 0.0)])
def test_orders_in_both_directions_from_the_singular_end_too(schedule, method, start, end):
    target = Gaussian(torch.tensor([2.0, -1.0], dtype=F64), torch.diag(torch.tensor([0.3, 2.0], dtype=F64) ** 2))
    oracle, inside = AffineOracle(STANDARD, target, schedule), start * end > 0
    counts = [64, 128] if inside else [256, 512]  # h^2 log(1/h) where lambda is infinite
    x = oracle.flow_map(points(8), 0.0, start)
    exact = oracle.flow_map(x, start, end)
    coarse, fine = (error(method, n, oracle, x, exact, start, end) for n in counts)
    assert np.log2(coarse / fine) > ORDER[method] - (0.2 if inside else 0.4)
    if method == "ddim":
        assert np.log2(coarse / fine) < 1.35


def test_ddim_is_euler_on_straight_paths_and_the_second_order_pays_on_the_variance_preserving_one():
    x = points()
    straight = gaussian_oracle()
    euler, ddim = (FixedStep(method, 5).solve(straight, x).x for method in ("euler", "ddim"))
    assert torch.allclose(euler, ddim, atol=1e-13)
    oracle = AffineOracle(STANDARD, GaussianMixture(torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=F64),
                          0.1 * torch.eye(2, dtype=F64).expand(2, 2, 2)), VP())  # fmt: skip
    exact = oracle.flow_map(x, 0.0, 0.99)
    off = {method: error(method, 16, oracle, x, exact, 0.0, 0.99) for method in ORDER}
    assert off["dpm++2m"] < 0.6 * off["ddim"]


def test_both_ends_are_finite():
    x = points(6)
    for schedule in (CondOT(), VP(), VE()):
        field = Field(MLP(width=8).build((2,), {}).double(), Affine(schedule), (2,), {})
        for method in ORDER:
            there = FixedStep(method, 6).solve(field, x).x
            assert torch.isfinite(there).all()
            assert torch.isfinite(FixedStep(method, 6).solve(field, there, start=1.0, end=0.0).x).all()


def test_the_two_steps_of_2m_by_hand():
    oracle, x = AffineOracle(STANDARD, Gaussian(torch.ones(2, dtype=F64)), Trig()), points(4)
    nodes = [0.2, 0.45, 0.6]
    c = [oracle.schedule(torch.tensor([t], dtype=F64)) for t in nodes]
    time = lambda k: torch.full((4,), nodes[k], dtype=F64)  # noqa: E731
    first = oracle.data(x, time(0))
    middle = c[1].sigma / c[0].sigma * x + (c[1].alpha - c[0].alpha * c[1].sigma / c[0].sigma) * first
    lam = [float((k.alpha / k.sigma).log()) for k in c]
    q = (lam[1] - lam[0]) / (lam[2] - lam[1])
    blend = (1 + 1 / (2 * q)) * oracle.data(middle, time(1)) - first / (2 * q)
    wanted = c[2].sigma / c[1].sigma * middle + (c[2].alpha - c[1].alpha * c[2].sigma / c[1].sigma) * blend
    found = FixedStep("dpm++2m", grid=Piecewise((0.45,)), steps=2).solve(oracle, x, start=0.2, end=0.6).x
    assert torch.allclose(found, wanted, atol=1e-12)


def test_pseudo_corrector_has_order_two_at_one_evaluation_a_step():
    """The table of the specification: mixture on the line, 4000 points, root mean square error at t = 1."""
    means, deviations = torch.tensor([[-2.0], [0.5], [3.0]], dtype=F64), torch.tensor([0.25, 0.4, 0.3], dtype=F64)
    target = GaussianMixture(means, deviations.square()[:, None, None], torch.tensor([0.5, 0.3, 0.2], dtype=F64))
    oracle = AffineOracle(Gaussian(torch.zeros(1, dtype=F64)), target, CondOT())
    x = points(1000, 1)
    exact = oracle.flow_map(x, 0.0, 1.0)
    off = {n: error("pseudo-corrector", n, oracle, x, exact, 0.0, 1.0) for n in (32, 64, 128)}
    assert 1.8 <= np.log2(off[64] / off[128]) <= 2.6
    heun = float((FixedStep("heun", 16).solve(oracle, x).x - exact).square().mean().sqrt())
    assert off[32] <= 0.8 * heun


def test_pseudo_corrector_is_heun_for_a_velocity_of_time_alone_and_goes_back():
    field, x = Flow(lambda x, t, c: torch.cos(3 * t)[:, None].expand_as(x)), points(3)
    for start, end in ((0.0, 1.0), (1.0, 0.0)):
        both = [FixedStep(m, 7).solve(field, x, start=start, end=end).x for m in ("heun", "pseudo-corrector")]
        assert torch.allclose(*both, atol=1e-14)


def test_paths_that_are_not_affine_are_refused():
    bridge = Field(MLP(width=4), BrownianBridge(1.0), (2,), {})
    for field in (bridge, Flow(lambda x, t, c: x)):
        for method in ORDER:
            with pytest.raises(InputError, match="affine"):
                FixedStep(method, 2).solve(field, points(2, dtype=torch.float32))


def test_guidance_keeps_the_path():
    schema, x = {}, points(3, dtype=torch.float32)
    field = Field(MLP(width=4), Affine(VP()), (2,), schema)
    guided = FixedStep("dpm++2m", 3).solve(ClassifierFree(field, 2.0), x).x
    assert torch.equal(guided, FixedStep("dpm++2m", 3).solve(field, x).x)


@dataclass(frozen=True)
class Windows(Affine):
    """Straight lines inside two windows."""

    @property
    def boundaries(self):
        return (0.3,)


def test_a_grid_that_skips_a_boundary_of_the_field_is_refused():
    field, x = Field(MLP(width=4), Windows(), (2,), {}), points(3, dtype=torch.float32)
    for model in (field, ClassifierFree(field, 2.0)):
        with pytest.raises(InputError, match=r"node 0\.3"):
            FixedStep("euler", 4).solve(model, x)
        assert FixedStep("euler", 4, Piecewise((0.3,))).solve(model, x).evaluations == 4
        assert FixedStep("euler", 2).solve(model, x, start=0.3, end=1.0).evaluations == 2
        assert FixedStep("euler", 2).solve(model, x, start=0.25, end=0.0).evaluations == 2
