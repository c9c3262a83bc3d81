"""Dormand-Prince against SciPy and torchdiffeq, its dense output, its independence of rows, and its limits."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torchdiffeq import odeint

sys.path.insert(0, str(Path(__file__).parent))
from oracles import F64, Counting, Flow, gaussian_oracle, mixture_oracle, points

from pushforward.errors import ConvergenceWarning
from pushforward.solvers import DormandPrince, FixedStep

CONTROLS = ("sample", "batch")


def test_batch_control_agrees_with_scipy():
    oracle, x = gaussian_oracle(), points(100)

    def rate(t, y):
        return oracle.velocity(torch.from_numpy(y).view(-1, 2), torch.full((100,), t, dtype=F64)).numpy().ravel()

    scipy = solve_ivp(rate, (0, 1), x.numpy().ravel(), rtol=1e-6, atol=1e-6)
    field = Counting(oracle)
    ours = DormandPrince(1e-6, "batch").solve(field, x)
    assert np.abs(ours.x.numpy().ravel() - scipy.y[:, -1]).max() < 1e-5
    assert ours.evaluations == field.calls == pytest.approx(scipy.nfev, rel=0.2)


def test_batch_control_needs_no_more_calls_than_torchdiffeq_and_errs_no_more():
    calls, log_errors = np.zeros(2), np.zeros(2)
    for oracle in (mixture_oracle(), gaussian_oracle()):
        x = points(100)
        exact = FixedStep("rk4", 1000).solve(oracle, x).x
        for tolerance in (1e-3, 1e-4, 1e-5):
            field = Counting(oracle)
            theirs = odeint(
                lambda t, y, f=field: f.velocity(y, t.expand(len(y))),
                x,
                torch.tensor([0.0, 1.0], dtype=F64),
                rtol=tolerance,
                atol=tolerance,
            )[-1]
            ours = DormandPrince(tolerance, "batch").solve(oracle, x)
            calls += ours.evaluations, field.calls
            log_errors += [float((found - exact).square().mean().sqrt().log()) for found in (ours.x, theirs)]
    assert calls[0] <= calls[1]
    assert log_errors[0] <= log_errors[1]


def test_the_last_two_steps_are_halves_of_what_is_left():
    times = []
    field = Flow(lambda x, t, c: times.append(float(t[0])) or torch.cos(3 * t)[:, None])
    DormandPrince(1e-6).solve(field, torch.zeros(1, 1, dtype=F64))
    ends = times[7::6]  # the first two calls choose a step, then every sixth is at a step's end
    assert ends[-1] == 1.0
    assert ends[-1] - ends[-2] == pytest.approx(ends[-2] - ends[-3], abs=1e-12)


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("grad", [False, True])
def test_dense_output_forwards_and_backwards(control, grad):
    oracle, x = gaussian_oracle(), points(10)
    exact = lambda y, s, times: torch.stack([oracle.flow_map(y, s, float(t)) for t in times])  # noqa: E731
    nodes = torch.linspace(0, 1, 6, dtype=F64)
    with torch.set_grad_enabled(grad):
        forward = DormandPrince(1e-7, control).solve(oracle, x, nodes=nodes)
        back = DormandPrince(1e-7, control).solve(oracle, forward.x, start=1.0, end=0.0, nodes=nodes.flip(0))
    assert (forward.path - exact(x, 0.0, nodes)).abs().max() < 1e-5
    assert (back.path - exact(forward.x, 1.0, nodes.flip(0))).abs().max() < 1e-5
    assert torch.equal(forward.path[0], x)
    assert torch.equal(forward.path[-1], forward.x)
    assert forward.evaluations == DormandPrince(1e-7, control).solve(oracle, x).evaluations  # the path costs nothing


def test_gradient_mode_changes_nothing():
    oracle, x = mixture_oracle(), points(10)
    with torch.no_grad():
        plain = DormandPrince().solve(oracle, x)
    tracked = DormandPrince().solve(oracle, x.clone().requires_grad_())
    assert torch.allclose(plain.x, tracked.x, atol=1e-12)
    assert plain.evaluations == tracked.evaluations


def test_a_row_does_not_depend_on_its_mates():
    stiff = Flow(lambda x, t, c: torch.where(c["hard"][:, None], torch.cos(60 * t)[:, None] * 30, -x))
    easy, hard = torch.zeros(1, dtype=torch.bool), torch.ones(1, dtype=torch.bool)
    x, solver = points(1), DormandPrince(1e-6)
    alone = solver.solve(stiff, x, condition={"hard": easy})
    mates = solver.solve(
        stiff, torch.cat([points(3, seed=1), x]), condition={"hard": torch.cat([hard, hard, easy, easy])}
    )
    assert torch.allclose(mates.x[3], alone.x[0], atol=1e-12)
    assert mates.row_evaluations[3] == alone.evaluations
    assert mates.row_evaluations.max() == mates.evaluations
    assert mates.row_evaluations[0] > 3 * alone.evaluations
    assert torch.allclose(mates.x[0], points(3, seed=1)[0] + np.sin(60) / 2, atol=1e-5)
    together = DormandPrince(1e-6, "batch").solve(
        stiff, torch.cat([points(1, seed=1), x]), condition={"hard": torch.cat([hard, easy])}
    )
    assert together.row_evaluations[1] == together.evaluations > 3 * alone.evaluations


def test_finished_rows_leave_the_batch():
    sizes = []
    field = Flow(lambda x, t, c: sizes.append(len(x)) or torch.cos(c["w"] * t)[:, None] * c["w"][:, None])
    solution = DormandPrince().solve(field, torch.zeros(3, 1), condition={"w": torch.tensor([1.0, 10.0, 100.0])})
    assert sizes[0] == 3
    assert sizes[-1] == 1
    assert sum(sizes) == int(solution.row_evaluations.sum())
    assert torch.allclose(solution.x[:, 0], torch.tensor([1.0, 10.0, 100.0]).sin(), atol=2e-4)


def test_the_step_floor_and_the_limit_warn_with_figures():
    singular = Flow(lambda x, t, c: ((1 - t).abs() + 1e-9).pow(-0.9)[:, None] * torch.ones_like(x))
    with pytest.warns(ConvergenceWarning, match=r"of 4 rows at the step floor 0\.001"):
        floored = DormandPrince(1e-8, min_step=1e-3).solve(singular, points(4))
    assert not floored.converged
    assert (floored.forced > 0).all()
    assert (floored.reached == 1).all()
    with pytest.warns(ConvergenceWarning, match="max_evaluations=30 with 4 of 4 rows"):
        cut = DormandPrince(1e-8, max_evaluations=30).solve(singular, points(4), nodes=[0.0, 0.999])
    assert cut.evaluations <= 30
    assert not cut.converged
    assert (cut.reached < 1).all()
    assert cut.path[1].isnan().all()


@pytest.mark.parametrize("control", CONTROLS)
def test_broken_values_end_the_integration(control):
    broken = Flow(lambda x, t, c: torch.where((t > 0.5)[:, None] & (x > 0), torch.nan, 0 * x + 1))
    with pytest.warns(ConvergenceWarning):
        solution = DormandPrince(max_evaluations=2000).solve(broken, torch.tensor([[-9.0], [9.0]]))
    assert solution.evaluations < 2000
    assert float(solution.x[0]) == pytest.approx(-8.0)
    assert solution.x[1].isnan()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nothing = DormandPrince(error_control=control).solve(
            gaussian_oracle(), torch.full((2, 2), torch.nan, dtype=F64)
        )
    assert nothing.x.isnan().all()


def test_separate_tolerances_and_precisions():
    oracle, x = gaussian_oracle(), points(50)
    exact = oracle.flow_map(x, 0.0, 1.0)
    assert (DormandPrince(1e-9, absolute=1e-9).solve(oracle, x).x - exact).abs().max() < 1e-7
    loose = DormandPrince(1e-9, absolute=1e-3).solve(oracle, x)
    assert loose.evaluations < DormandPrince(1e-9).solve(oracle, x).evaluations
    single = DormandPrince(1e-5).solve(oracle, x.float())
    assert single.x.dtype == torch.float32
    assert (single.x - exact).abs().max() < 2e-3
