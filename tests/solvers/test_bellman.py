"""The Bellman grid: against brute force, on closed forms, and as plain data."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from oracles import F64, Counting, Flow, mixture_oracle, points

from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture
from pushforward.paths import CondOT
from pushforward.solvers import FixedStep, FromFile, Karras, StepCosts, Uniform, bellman, euler_costs
from pushforward.solvers.bellman import ENTRIES


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_dynamic_programme_equals_brute_force(steps, seed):
    costs = torch.rand(9, 9, generator=torch.Generator().manual_seed(seed), dtype=F64) ** 3
    every = [(0, *inner, 8) for inner in itertools.combinations(range(1, 8), steps - 1)]
    total = [sum(float(costs[i, j]) for i, j in itertools.pairwise(grid)) for grid in every]
    chosen, cost = bellman(costs, steps)
    assert tuple(chosen) == every[int(np.argmin(total))]
    assert cost == pytest.approx(min(total))


def test_costs_are_those_of_single_steps_along_the_path():
    oracle, x, fine = mixture_oracle(), points(20), 7
    field = Counting(oracle)
    found = StepCosts.of(field, x, fine=fine, base=Karras(2.0))
    assert field.calls == fine
    path = FixedStep("euler", fine, Karras(2.0)).solve(oracle, x, nodes=found.nodes).path
    for i, j in itertools.combinations(range(fine + 1), 2):
        t = found.nodes[i].expand(20)
        jump = path[i] + (found.nodes[j] - found.nodes[i]) * oracle.velocity(path[i], t)
        assert float(found.costs[i, j]) == pytest.approx(float((jump - path[j]).square().sum(1).mean()), abs=1e-12)
    assert torch.isinf(found.costs.tril()[torch.ones(fine + 1, fine + 1).tril() > 0]).all()
    assert torch.equal(found.costs, euler_costs(path, found.nodes))


def test_all_the_curvature_gets_all_the_nodes():
    bend = Flow(lambda x, t, c: torch.where(t < 0.2, 50 * t, 10.0)[:, None].expand_as(x))
    costs = StepCosts.of(bend, points(3), fine=50)
    grid = costs.grid(4)
    assert len(grid) == 4 and (grid.nodes[1:-1] <= 0.21).all() and grid.meta["cost"] < float(costs.costs[0, 50])
    assert costs.grid(50).meta["cost"] == pytest.approx(0)
    straight = StepCosts.of(Flow(lambda x, t, c: torch.ones_like(x)), points(3), fine=10)
    assert straight.grid(1).meta["cost"] == pytest.approx(0, abs=1e-20)


def test_many_rows_are_taken_in_parts_with_their_conditions():
    rate = torch.linspace(0, 1, 10, dtype=F64)
    field = Flow(lambda x, t, c: c["k"][:, None] * x)
    whole = StepCosts.of(field, torch.ones(10, 1, dtype=F64), {"k": rate}, fine=5).costs
    wide = torch.ones(10, ENTRIES // 25).double()  # four rows of six nodes fit
    parts = StepCosts.of(field, wide, {"k": rate}, fine=5).costs / wide.shape[1]
    assert torch.allclose(whole.triu(1).nan_to_num(0), parts.triu(1).nan_to_num(0))


def test_the_grid_is_plain_data(tmp_path):
    costs = StepCosts.of(mixture_oracle(), points(50), fine=20)
    rule = costs.rule(4)
    assert rule.nodes == tuple(costs.grid(4).nodes.tolist()) and costs.grid(4).meta["rule"] == "bellman"
    np.savetxt(tmp_path / "grid.txt", rule.nodes)
    assert torch.equal(FromFile(str(tmp_path / "grid.txt"))(4).nodes, rule(4).nodes)
    for method in ("euler", "ab2", "rk4"):
        assert FixedStep(method, grid=rule).solve(mixture_oracle(), points(3)).x.shape == (3, 2)


def test_a_bellman_grid_beats_the_uniform_one_on_a_mixture():
    means, deviations = torch.tensor([[-2.0], [0.5], [3.0]], dtype=F64), torch.tensor([0.25, 0.4, 0.3], dtype=F64)
    target = GaussianMixture(means, deviations.square()[:, None, None], torch.tensor([0.5, 0.3, 0.2], dtype=F64))
    oracle, x = AffineOracle(Gaussian(torch.zeros(1, dtype=F64)), target, CondOT()), points(500, 1)
    exact = oracle.flow_map(x, 0.0, 1.0)
    costs = StepCosts.of(oracle, points(500, 1, seed=1))
    for steps in (2, 4):
        uniform, best = (
            float((FixedStep("euler", steps, rule).solve(oracle, x).x - exact).square().mean())
            for rule in (Uniform(), costs.rule(steps))
        )
        assert best < 0.9**2 * uniform


@pytest.mark.parametrize("steps", [0, 21])
def test_impossible_numbers_of_steps_are_refused(steps):
    with pytest.raises(InputError, match="between 1 and 20"):
        StepCosts.of(mixture_oracle(), points(5), fine=20).grid(steps)
