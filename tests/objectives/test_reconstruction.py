"""Fine-tuning through the solver: its minimum in closed form, the pairs it needs, and the contractive residual."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.conditions import Column
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.maps import Frame, InverseFlow
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import MLP, ContractiveResidual, Field, Residual
from pushforward.objectives import FlowMatching, ReconstructionLikelihood
from pushforward.paths import VP, Affine, CondOT
from pushforward.solvers import FixedStep
from pushforward.training import FramedSides, Trainer

SOURCE = Gaussian(torch.zeros(2).double())
TARGET = Gaussian(torch.tensor([1.0, -2.0]).double(), torch.diag(torch.tensor([4.0, 0.25])).double())
X1 = TARGET.sample(300, generator=torch.Generator().manual_seed(0))


class Exact(nn.Module):
    """The velocity between two Gaussians."""

    def __init__(self, schedule) -> None:
        super().__init__()
        self.oracle = AffineOracle(SOURCE, TARGET, schedule)

    def forward(self, x, t, condition=None):
        return self.oracle.velocity(x, t)


class Growth(nn.Module):
    """`v = theta x`: N Euler steps multiply by `(1 + theta / N)^N`."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=torch.float64))

    def forward(self, x, t, condition=None):
        return self.theta * x


def loss_of(theta: float, weight=None, **options):
    field = Field(Growth(theta), Affine(), (2,), {})
    x0 = torch.tensor([[1.0, 2.0], [3.0, 0.0]]).double()
    return field, ReconstructionLikelihood(**options)(field, Pairs(x0, 2 * x0, weight=weight), field.path)


@pytest.mark.parametrize("steps", [1, 4])
def test_minimum_is_that_of_the_discrete_flow(steps):
    """Doubling in N Euler steps asks for `theta = N (2^(1/N) - 1)`, not for log 2."""
    options = {"solver": FixedStep("euler", steps)}
    field, loss = loss_of(steps * (2 ** (1 / steps) - 1), **options)
    assert float(loss.total.detach()) < 1e-20
    field, loss = loss_of(math.log(2), **options)
    loss.total.backward()
    assert field.network.theta.grad < -0.1  # the steps fall short of the exact flow


def test_value_is_the_scaled_squared_error():
    _, loss = loss_of(0.0, deviation=0.5)
    torch.testing.assert_close(loss.per_sample, torch.tensor([2.5, 4.5]).double() / 0.5)
    _, loss = loss_of(0.0, weight=torch.tensor([3.0, 1.0]), deviation=0.5)
    assert float(loss.total.detach()) == pytest.approx((3 * 5 + 9) / 4)
    _, loss = loss_of(0.0, anchor=0.5)
    assert float(loss.total.detach()) == pytest.approx(float(loss.terms["reconstruction"] + 0.5 * loss.terms["anchor"]))


@pytest.mark.parametrize("schedule", [CondOT(), VP()], ids=repr)
def test_inverse_flow_pairs_by_the_flow_map(schedule):
    field = Field(Exact(schedule), Affine(schedule), (2,), {})
    sides = FramedSides((SOURCE, TARGET), (Frame((2,)), Frame((2,))), field)
    coupling = InverseFlow(FixedStep("rk4", 100)).prepared(sides, generator=torch.Generator())
    pairs = coupling(torch.zeros(300, 2).double(), X1, gaussian_source=True)
    state = field.path.source_end.encode(pairs.x0)
    torch.testing.assert_close(field.network.oracle.flow_map(state, 0.0, 1.0), X1, atol=1e-4, rtol=1e-4)
    assert not pairs.gaussian_source and pairs.x1 is X1


def test_inverse_flow_needs_a_flow():
    with pytest.raises(InputError, match="give init"):
        pf.fit("gaussian", X1.float(), coupling=InverseFlow(), trainer=Trainer(steps=1))
    with pytest.raises(InputError, match="no flow yet"):
        InverseFlow()(X1, X1)


def test_residual_contracts_everywhere_and_leaves_the_field_alone():
    torch.manual_seed(0)
    before = Field(MLP(width=16), Affine(), (3,), {"k": Column(("a", "b"))})
    nn.init.normal_(before.network.last.weight)
    after = ContractiveResidual(width=8, begin=0.3).adapted(before)
    nn.init.normal_(after.network.residual.last.weight)
    x, t, k = torch.randn(40, 3), torch.rand(40), {"k": torch.arange(40) % 2}

    def jacobians(field):
        def velocity(x, t, k):
            return field.velocity(x[None], t[None], {"k": k[None]})[0]

        return torch.func.vmap(torch.func.jacrev(velocity))(x, t, k["k"])

    change = jacobians(after) - jacobians(before)
    late = t > 0.35
    torch.testing.assert_close(change, change.mT, atol=1e-4, rtol=1e-4)
    eigenvalues = torch.linalg.eigvalsh(change)
    assert eigenvalues.max() < 1e-4 and (eigenvalues[late, 0] < -1e-3).all() and change[t < 0.3].abs().max() < 1e-5
    torch.testing.assert_close(before.velocity(x, 0 * t, k), after.velocity(x, 0 * t, k))
    trained = {name for name, parameter in after.named_parameters() if parameter.requires_grad}
    assert trained and not any("frozen" in name for name in trained)


@pytest.mark.parametrize("adapter", [None, Residual(MLP(width=4)), ContractiveResidual(width=4)])
def test_fit_saves_loads_and_resumes(adapter, tmp_path):
    base = pf.fit("gaussian", X1.float(), network=MLP(width=8), trainer=Trainer(steps=3), out=tmp_path / "base")

    def train(out, steps, resume=False):
        return pf.fit(
            "gaussian", X1.float(), init=tmp_path / "base", adapter=adapter, coupling=InverseFlow(FixedStep("rk4", 4)),
            objective=ReconstructionLikelihood(base=FlowMatching(), anchor=0.1), out=out, resume=resume,
            trainer=Trainer(steps=steps, batch_size=16, checkpoint_every=2, decay="constant", warmup=0),
        )  # fmt: skip

    whole, x = train(tmp_path / "whole", 4), torch.randn(5, 2)
    train(tmp_path / "parts", 2)
    train(tmp_path / "parts", 4, resume=True)
    again = pf.load(tmp_path / "parts")
    torch.testing.assert_close(again.push(x, steps=4), whole.push(x, steps=4))
    assert not torch.allclose(again.push(x, steps=4), base.push(x, steps=4))
    if adapter is not None:
        torch.testing.assert_close(again.field.network.frozen.network.first.weight, base.field.network.first.weight)


def test_what_does_not_fit_says_so():
    with pytest.raises(InputError, match="give that as init"):
        pf.fit("gaussian", X1.float(), adapter=ContractiveResidual(), trainer=Trainer(steps=1))
    with pytest.raises(InputError, match="transforms"):
        ContractiveResidual().adapted(Field(MLP(width=8), Affine(data_std=1.0), (2,), {}))
    with pytest.raises(InputError, match="deviation"):
        ReconstructionLikelihood(deviation=0.0)
