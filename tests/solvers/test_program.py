"""Programs of steps, the refiner's step, and compiled evaluations."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from oracles import F64, Counting, gaussian_oracle, points

from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.networks import MLP, ClassifierFree, Field, Refiner
from pushforward.paths import VP, Affine
from pushforward.solvers import Compiled, Cosine, DormandPrince, Explicit, FixedStep, Program, choose_solver


class Followed:
    """An exact velocity, and a refiner that knows it too."""

    def __init__(self, field):
        self.field, self.cheap = Counting(field), 0

    def velocity(self, x, t, condition=None):
        return self.field.velocity(x, t)

    def refined(self, x, t, before, condition=None):
        self.cheap += 1
        return self.field.field.velocity(x, t)


def test_programs_of_known_methods_are_those_methods():
    oracle, x = gaussian_oracle(), points()
    same = {
        "H5": FixedStep("heun", 5),
        "P6": FixedStep("pseudo-corrector", 6),
        "H1P4": FixedStep("pseudo-corrector", 5),
    }
    for program, method in same.items():
        one, other = (solver.solve(oracle, x) for solver in (Program(program), method))
        assert torch.equal(one.x, other.x) and one.evaluations == other.evaluations


def test_an_exact_refiner_takes_heuns_steps_for_nothing():
    field, x = Followed(gaussian_oracle()), points()
    found = Program("H2P1R3").solve(field, x)
    assert found.evaluations == field.field.calls == 2 * 2 + 1 and field.cheap == 6
    after = FixedStep("heun", 3).solve(gaussian_oracle(), Program("H2P1").solve(field, x, end=0.5).x, start=0.5).x
    torch.testing.assert_close(found.x, after)
    alone = Program("R4").solve(field, x)
    assert alone.evaluations == 1
    torch.testing.assert_close(alone.x, FixedStep("heun", 4).solve(gaussian_oracle(), x).x)
    there = gaussian_oracle().flow_map(x, 0.0, 1.0)
    torch.testing.assert_close(Program("R64").solve(field, there, start=1.0, end=0.0).x, x, atol=0.01, rtol=0)


def test_the_velocity_kept_is_what_the_refiner_is_given():
    """`d'` of a step, at the state predicted, is the guess that the next begins with."""
    calls = []

    class Watched:
        def velocity(self, x, t, condition=None):
            return torch.ones_like(x)

        def refined(self, x, t, before, condition=None):
            calls.append((float(x[0]), float(t[0]), float(before[0])))
            return before + 1

    x = Program("H1R2", grid=Explicit((0.0, 0.5, 0.75, 1.0))).solve(Watched(), torch.zeros(1, 1, dtype=F64)).x
    assert calls == [(0.5, 0.5, 1.0), (1.0, 0.75, 2.0), (1.125, 0.75, 3.0), (2.125, 1.0, 4.0)]
    assert float(x) == 0.5 + 0.25 * 2.5 + 0.25 * 4.5


def test_grids_and_paths():
    oracle, x = gaussian_oracle(), points(9)
    solver = Program("H1P3", grid=Cosine())
    assert solver.layout(0.0, 1.0).nodes.tolist() == Cosine()(4).nodes.tolist()
    path = solver.solve(oracle, x, nodes=torch.linspace(0, 1, 9)).path
    exact = torch.stack([oracle.flow_map(x, 0.0, float(t)) for t in torch.linspace(0, 1, 9)])
    assert path.shape == (9, 9, 2) and (path - exact).abs().max() < 0.2
    assert build(describe(solver)) == solver and choose_solver(solver, grid=[0.0, 0.3, 1.0]).solve(
        oracle, x
    ).x.shape == (9, 2)


@pytest.mark.parametrize("wrong", ["", "H", "H0", "X3", "h1", "H1 P2", "3H"])
def test_programs_that_are_none_are_refused(wrong):
    with pytest.raises(InputError, match="lists kinds of steps"):
        Program(wrong)


def test_what_does_not_fit_says_so():
    with pytest.raises(InputError, match="8 steps asked for, but the program H1P5R3 has 9"):
        choose_solver(Program(), steps=8)
    assert choose_solver(Program(), steps=9).layout(0.0, 1.0).nodes.shape == (10,)
    field = Field(MLP(width=4), Affine(), (2,), {})
    x = points(2, dtype=torch.float32)
    for model in (field, ClassifierFree(field, 2.0), gaussian_oracle(torch.float32)):
        with pytest.raises(InputError, match="refiner"):
            Program("H1R1").solve(model, x)


def test_compiled_sampling_gives_the_same_numbers():
    """With the tracing alone: generating code takes a minute, and is the compiler's own affair."""
    torch.manual_seed(0)
    schema, x = {}, points(7, dtype=torch.float32)
    base = Field(MLP(width=8), Affine(VP()), (2,), schema)
    torch.nn.init.normal_(base.network.last.weight)
    field = Refiner(MLP(width=4)).adapted(base)
    torch.nn.init.normal_(field.network.change.network.last.weight)
    for solver in (Program("H1P2R2"), FixedStep("dpm++2m", 4), DormandPrince(1e-3)):
        plain, compiled = (s.solve(field, x) for s in (solver, Compiled(solver, backend="aot_eager")))
        torch.testing.assert_close(compiled.x, plain.x, atol=1e-5, rtol=1e-5)
        assert compiled.evaluations == plain.evaluations
    guided = ClassifierFree(base, 2.0)
    found = Compiled(FixedStep("heun", 3), backend="aot_eager").solve(guided, x).x
    torch.testing.assert_close(found, FixedStep("heun", 3).solve(guided, x).x)
    solver = Compiled(Program())
    assert build(describe(solver)) == solver and not solver.stochastic
