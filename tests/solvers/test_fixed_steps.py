"""Grids, fixed-step methods and the choice of a solver."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from oracles import F64, Counting, Flow, gaussian_oracle, mixture_oracle, points

from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.solvers import (
    SDE,
    Bump,
    Constant,
    Cosine,
    DormandPrince,
    Explicit,
    FixedStep,
    FromFile,
    Grid,
    Karras,
    LogitNormalQuantiles,
    Piecewise,
    Proportional,
    RungeKutta,
    Shifted,
    Uniform,
    Vanishing,
    choose_solver,
    integrate,
)

RULES = [Uniform(), Cosine(), Shifted(3.0), Karras(7.0), LogitNormalQuantiles(0.2, 0.8), Piecewise((0.3, 0.7))]
PIECES = [
    *RULES, Explicit((0.0, 0.4, 1.0)), FromFile("grid.npy"), Vanishing(2.0), Constant(), Proportional(), Bump(0.5),
    FixedStep("ab2", 7, Karras()), DormandPrince(1e-4, "batch"), SDE("euler-maruyama", 9, Bump()),
]  # fmt: skip
COST = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4, "ab2": 1}
ORDER = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4, "ab2": 2}


@pytest.mark.parametrize("piece", PIECES, ids=lambda p: type(p).__name__)
def test_every_piece_is_rebuilt_from_its_description(piece):
    assert build(describe(piece)) == piece


@given(st.sampled_from(RULES), st.integers(3, 60), st.floats(-2, 2), st.floats(0.1, 3))
@settings(max_examples=60, deadline=None)
def test_grids_meet_their_ends_and_retrace_their_nodes_backwards(rule, steps, start, length):
    end = start + length
    grid = rule(steps, start, end)
    assert len(grid) == steps
    assert (grid.start, grid.end) == (start, end)
    assert torch.equal(rule(steps, end, start).nodes, grid.nodes.flip(0))


def test_grid_closed_forms(tmp_path):
    assert Shifted(3.0)(2).nodes[1] == pytest.approx(0.25)  # 0.5 / (3 - 2 * 0.5)
    assert Karras(2.0)(2).nodes[1] == pytest.approx(0.75)
    assert LogitNormalQuantiles(0.0, 1.0)(4).nodes[1] == pytest.approx(1 / (1 + np.exp(0.6744897501960817)))
    assert Piecewise((0.5,))(3).nodes.tolist() == [0.0, 0.25, 0.5, 1.0]
    np.save(tmp_path / "g.npy", np.array([0, 0.2, 1]))
    (tmp_path / "g.txt").write_text("0, 0.2\n1")
    (tmp_path / "g.json").write_text("[0, 0.2, 1]")
    for name in ("g.npy", "g.txt", "g.json"):
        assert FromFile(str(tmp_path / name))(None).nodes.tolist() == [0.0, 0.2, 1.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Grid(torch.tensor([0.0, 0.5, 0.5])),
        lambda: Grid(torch.tensor([0.0])),
        lambda: Grid(torch.tensor([0.0, float("nan")])),
        lambda: Grid(torch.tensor([0.0, 1.0]), required=(0.5,)),
        lambda: Uniform()(0),
        lambda: Uniform()(4, 1.0, 1.0),
        lambda: Piecewise((0.3, 0.6))(2),
        lambda: Explicit((0.0, 0.5))(None),
        lambda: Explicit((0.0, 0.5, 1.0))(3),
        lambda: Shifted(0.0),
        lambda: Karras(float("nan")),
        lambda: FromFile("nowhere.npy")(None),
        lambda: Vanishing(-1.0),
        lambda: FixedStep("eulre"),
        lambda: FixedStep("euler", 0),
        lambda: FixedStep("euler", 3, Explicit((0.0, 1.0))),
        lambda: DormandPrince(0.0),
        lambda: DormandPrince(error_control="rows"),
        lambda: SDE("euler"),
    ],
)
def test_impossible_pieces_are_refused(make):
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize("method", COST)
def test_order_cost_and_reversibility(method):
    oracle, x = mixture_oracle(), points()
    # with a Gaussian target the midpoint rule gains an order: its second-order error cancels over [0, 1]
    exact = oracle.flow_map(x, 0.0, 0.8)
    counts, errors = [16, 32, 64], []
    for steps in counts:
        field = Counting(oracle)
        solution = FixedStep(method, steps).solve(field, x, end=0.8)
        assert solution.evaluations == field.calls == COST[method] * steps + (method == "ab2")
        errors.append(float((solution.x - exact).square().mean().sqrt()))
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert -slope == pytest.approx(ORDER[method], abs=0.35)
    back = FixedStep(method, 64).solve(oracle, exact, start=0.8, end=0.0).x
    assert (back - x).abs().max() < {1: 0.3, 2: 2e-2, 4: 1e-4}[ORDER[method]]


def test_second_order_multistep_keeps_its_order_on_uneven_grids():
    oracle, x = gaussian_oracle(), points()
    exact = oracle.flow_map(x, 0.0, 1.0)
    errors = [
        float((FixedStep("ab2", n, Cosine()).solve(oracle, x).x - exact).square().mean().sqrt()) for n in (16, 32, 64)
    ]
    assert np.log2(errors[0] / errors[1]) > 1.65
    assert np.log2(errors[1] / errors[2]) > 1.65


@pytest.mark.parametrize("method", COST)
def test_paths_meet_the_nodes_asked_for(method):
    oracle, x = gaussian_oracle(), points(8)
    nodes = torch.tensor([0.0, 0.1, 0.33, 0.75, 1.0])
    solution = FixedStep(method, 32).solve(oracle, x, nodes=nodes)
    assert solution.path.shape == (5, 8, 2)
    assert torch.equal(solution.path[0], x)
    assert torch.equal(solution.path[-1], solution.x)
    exact = torch.stack([oracle.flow_map(x, 0.0, float(t)) for t in nodes])
    assert (solution.path - exact).abs().max() < {1: 0.4, 2: 1e-2, 4: 1e-4}[ORDER[method]]
    assert solution.evaluations == COST[method] * (32 + 2) + (method == "ab2")  # 0.1 and 0.33 are new nodes
    back = FixedStep(method, 4).solve(oracle, x, start=1.0, end=0.0, nodes=[1.0, 0.5])
    assert back.path.shape == (2, 8, 2)


def test_float32_times_are_nodes_and_not_sums():
    seen = []
    field = Flow(lambda x, t, c: seen.append(float(t[0])) or torch.zeros_like(x))
    FixedStep("heun", 1000).solve(field, torch.zeros(1, 1))
    assert seen[-1] == 1.0
    assert seen == [v for k in range(1000) for v in (np.float32(k / 1000), np.float32((k + 1) / 1000))]


def test_hooks_and_path_of_the_loop():
    stepper = RungeKutta(lambda x, t: torch.ones_like(x), "euler")
    double = lambda x, t, number: 2 * x if number == 2 else x  # noqa: E731
    solution = integrate(stepper, torch.zeros(1, 1), Uniform()(4), hooks=(double,), return_path=True)
    assert solution.path[:, 0, 0].tolist() == [0.0, 0.25, 1.0, 1.25, 1.5]


def test_shapes_dtypes_conditions_and_gradients_pass_through():
    condition = {"k": torch.tensor([1.0, 2.0], dtype=F64)}
    rate = torch.tensor(0.5, dtype=F64, requires_grad=True)
    field = Flow(lambda x, t, c: rate * c["k"].view(-1, 1, 1) * x)
    x = torch.ones(2, 3, 4, dtype=F64, requires_grad=True)
    for solver in (FixedStep("rk4", 50), FixedStep("ab2", 500), DormandPrince(1e-8), DormandPrince(1e-8, "batch")):
        out = solver.solve(field, x, condition=condition, nodes=[0.5, 1.0])
        growth = torch.exp(0.5 * condition["k"]).view(-1, 1, 1).expand_as(x)
        assert torch.allclose(out.x, growth, atol=1e-5)
        assert torch.allclose(out.path[0], growth.sqrt(), atol=1e-5)
        dx, dr = torch.autograd.grad(out.x.sum(), [x, rate])
        assert torch.allclose(dx, growth, atol=1e-5)
        assert float(dr) == pytest.approx(float((growth * condition["k"].view(-1, 1, 1)).sum()), rel=1e-5)
    half = FixedStep("rk4", 4).solve(Flow(lambda x, t, c: t[:, None] * x), torch.ones(2, 1, dtype=torch.bfloat16)).x
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize("solver", [FixedStep(steps=2), DormandPrince(), SDE(steps=2)], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(
    "change",
    [
        {"x": torch.zeros(0, 2)},
        {"x": torch.zeros(2, 2, dtype=torch.long)},
        {"end": 0.0},
        {"end": float("nan")},
        {"nodes": [0.0, 2.0]},
        {"nodes": [0.5, 0.5]},
        {"nodes": [1.0, 0.0]},
        {"field": Flow(lambda x, t, c: x.sum(1))},
    ],
)
def test_bad_input_is_named(solver, change):
    arguments = {"field": gaussian_oracle(), "x": points(3), **change}
    with pytest.raises(InputError):
        solver.solve(**arguments)


def test_choosing_a_solver():
    default = DormandPrince(1e-3, "batch")
    assert choose_solver(default) is default
    assert choose_solver(default, tolerance=1e-7) == DormandPrince(1e-7, "batch")
    assert choose_solver(default, steps=8) == FixedStep("midpoint", 8)
    assert choose_solver(default, steps=8, grid=Karras()) == FixedStep("midpoint", 8, Karras())
    assert choose_solver(FixedStep("rk4", 4, Cosine()), steps=8) == FixedStep("rk4", 8, Cosine())
    assert choose_solver(FixedStep("rk4"), grid=torch.tensor([0.0, 0.5, 1.0])) == FixedStep(
        "rk4", None, Explicit((0.0, 0.5, 1.0))
    )
    assert choose_solver(FixedStep("rk4", None, Explicit((0.0, 1.0))), steps=3) == FixedStep("rk4", 3)
    assert choose_solver(SDE(diffusion=Bump()), steps=5, method="euler-maruyama") == SDE("euler-maruyama", 5, Bump())
    assert choose_solver(FixedStep(), method="dopri5") == DormandPrince()
    for wrong in (
        {"steps": 3, "tolerance": 1e-3},
        {"steps": 3, "grid": [0.0, 1.0]},
        {"grid": Uniform(), "tolerance": 1e-3},
        {"tolerance": 1e-3, "method": "euler"},
        {"steps": 3, "method": "dopri5"},
        {"steps": 0},
        {"method": "eular"},
    ):
        with pytest.raises(InputError):
            choose_solver(default, **wrong)
