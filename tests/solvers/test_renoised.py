"""Jumps to the end with fresh noise between: the law of the result stays that of the target."""

import pytest
import torch
from torch import nn

from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import MLP, Field, ToEnd
from pushforward.paths import Affine, CondOT
from pushforward.solvers import Jump, Renoised, choose_solver

ORACLE = AffineOracle(
    Gaussian.standard(2), Gaussian(torch.tensor([2.0, -1.0]), torch.diag(torch.tensor([0.09, 4.0]))), CondOT()
)
X = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0)).double()


class Exact(nn.Module, Recorded):
    def mean_velocity(self, x, s, e, condition=None):
        return ORACLE.mean_velocity(x, s, e)


FIELD = Field(Exact(), Affine(), (2,), {}, gaussian_source=True)


def test_one_jump_is_the_map_and_more_keep_the_law():
    exact = ORACLE.flow_map(X, 0.0, 1.0)
    torch.testing.assert_close(Renoised().solve(FIELD, X).x, exact)
    for steps in (2, 4):
        found = Renoised(steps).solve(FIELD, X, generator=torch.Generator().manual_seed(1))
        assert found.evaluations == steps
        torch.testing.assert_close(found.x.mean(0), torch.tensor([2.0, -1.0]).double(), atol=0.05, rtol=0)
        torch.testing.assert_close(found.x.std(0), torch.tensor([0.3, 2.0]).double(), rtol=0.03, atol=0)
        assert (found.x - exact).norm(dim=1).mean() > 0.1  # it is another point
    again = Renoised(4).solve(FIELD, X, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.x, found.x)
    half = Renoised().solve(FIELD, X, end=0.5, generator=torch.Generator().manual_seed(1)).x
    torch.testing.assert_close(half.mean(0), torch.tensor([1.0, -0.5]).double(), atol=0.05, rtol=0)
    assert choose_solver(Renoised(), steps=4) == Renoised(4)


def test_mistakes():
    with pytest.raises(InputError, match="forwards"):
        Renoised().solve(FIELD, X, start=1.0, end=0.0)
    with pytest.raises(InputError, match="needs a trained flow map"):
        Renoised().solve(ORACLE, X)
    paired = Field(Exact(), Affine(), (2,), {})
    assert torch.equal(Renoised().solve(paired, X).x, Renoised().solve(FIELD, X).x)
    with pytest.raises(InputError, match="paired independently"):
        Renoised(2).solve(paired, X)
    ends = Field(ToEnd(MLP(width=8)), Affine(), (2,), {}, gaussian_source=True).double()
    assert Jump().solve(ends, X).evaluations == 1
    for solver, end in ((Jump(2), 1.0), (Jump(), 0.5)):
        with pytest.raises(InputError, match="take Renoised"):
            solver.solve(ends, X, end=end)
