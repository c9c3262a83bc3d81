"""Jumps of a flow map: exact in any number for an exact map."""

import pytest
import torch

from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import ClassifierFree
from pushforward.paths import CondOT
from pushforward.solvers import DormandPrince, FixedStep, Jump, Karras, choose_solver

ORACLE = AffineOracle(
    Gaussian.standard(2), Gaussian(torch.tensor([2.0, -1.0]), torch.diag(torch.tensor([0.09, 4.0]))), CondOT()
)
X = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("solver", [Jump(), Jump(2), Jump(4, Karras())], ids=repr)
def test_any_number_of_jumps_of_an_exact_map_is_exact(solver):
    found = solver.solve(ORACLE, X)
    torch.testing.assert_close(found.x, ORACLE.flow_map(X, 0.0, 1.0))
    assert found.evaluations == (solver.steps or 1)


def test_paths_are_read_off_beside_the_jumps():
    """Asking for them changes neither the end nor the count."""
    nodes = torch.linspace(0, 1, 11, dtype=torch.float64)
    found = Jump(2).solve(ORACLE, X, nodes=nodes)
    assert found.evaluations == 2 and found.path is not None
    wanted = torch.stack([ORACLE.flow_map(X, 0.0, float(t)) for t in nodes])
    torch.testing.assert_close(found.path, wanted)
    torch.testing.assert_close(found.x, Jump(2).solve(ORACLE, X).x)


def test_starts_later_and_is_chosen_by_steps():
    x = ORACLE.flow_map(X, 0.0, 0.3)
    torch.testing.assert_close(Jump(2).solve(ORACLE, x, start=0.3).x, ORACLE.flow_map(X, 0.0, 1.0))
    assert choose_solver(Jump(), steps=4) == Jump(4)
    assert choose_solver(Jump(), tolerance=1e-3) == DormandPrince(1e-3)
    assert choose_solver(Jump(), method="euler") == FixedStep("euler", 1)


def test_mistakes():
    with pytest.raises(InputError, match="forwards"):
        Jump().solve(ORACLE, X, start=1.0, end=0.0)
    with pytest.raises(InputError, match="knows no jumps"):
        Jump().solve(ClassifierFree(ORACLE, 2.0), X)
