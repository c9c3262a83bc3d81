"""Consistency training: neighbours lead to the same end, with a bias of the order of their distance."""

import dataclasses

import pytest
import torch
from tests.helpers import PerturbedMap, stationarity
from torch import nn

from pushforward.configuration import build, describe
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import MLP, EndVelocity, Field, ToEnd, TwoTime
from pushforward.objectives import (
    Consistency,
    Draws,
    FlowMatching,
    Neighbours,
    NoiseDivergence,
    PseudoHuber,
    Shortcut,
    Tuned,
    VelocityRule,
)
from pushforward.paths import VP, Affine, CondOT, VariationalNoise
from pushforward.solvers import Jump, Karras, Renoised

SOURCE = Gaussian(torch.zeros(2).double())
TARGET = Gaussian(torch.tensor([2.0, -1.0]).double(), torch.diag(torch.tensor([0.09, 4.0])).double())
ORACLE = AffineOracle(SOURCE, TARGET, CondOT())


def pairs(generator: torch.Generator, n: int = 4000) -> Pairs:
    return Pairs(SOURCE.sample(n, generator=generator), TARGET.sample(n, generator=generator), gaussian_source=True)


def scores(objective) -> torch.Tensor:
    net = PerturbedMap(ORACLE.mean_velocity)
    field = Field(net, Affine(), (2,), {})
    return stationarity(objective, field, net.theta, field.path, pairs, batches=20)


def steps(count: int) -> Neighbours:
    return Neighbours(first=count, last=count)


@dataclasses.dataclass(frozen=True)
class Exact(VelocityRule):
    def __call__(self, field, point, condition, moving):
        return ORACLE.velocity(point.x, point.t)


def test_the_bias_is_of_the_order_of_the_step():
    found = [float(scores(Consistency(times=steps(count))).abs().max()) for count in (10, 100, 1000)]
    assert found[0] > 20 and found[1] < found[0] / 4 and found[2] < 3.5, found


def test_with_the_exact_velocity_the_error_of_a_step_remains():
    """That of an Euler step, of the order of its square; weights by 1 / (r - t) would make it the step."""
    gradients = []
    for count in (10, 40):
        net = PerturbedMap(ORACLE.mean_velocity)
        field = Field(net, Affine(), (2,), {})
        loss = Consistency(Exact(), times=steps(count))(field, pairs(torch.Generator().manual_seed(0)), field.path)
        gradients.append(float(torch.autograd.grad(loss.total, net.theta)[0].norm()))
    assert gradients[0] / gradients[1] == pytest.approx(16, rel=0.3)


def test_loss_is_the_formula():
    torch.manual_seed(0)
    field = Field(ToEnd(MLP(width=16, depth=2)), Affine(), (2,), {}).double()
    nn.init.normal_(field.network.network.last.weight, std=0.3)
    batch, rule = pairs(torch.Generator().manual_seed(1), 64), Neighbours(grid=Karras(7.0), first=6, last=6)
    t, r, weight = rule.sample(Draws(64, torch.Generator().manual_seed(2), None, torch.float64), 0.0)
    ends = lambda x, s: x + (1 - s)[:, None] * field.network.network(x, s, None)  # noqa: E731
    near, far = (torch.lerp(batch.x0, batch.x1, s[:, None]) for s in (t, r))
    wanted = (weight[:, None] * (ends(near, t) - ends(far, r)).square()).mean()
    found = Consistency(times=rule)(field, batch, field.path, generator=torch.Generator().manual_seed(2)).total
    torch.testing.assert_close(found, wanted)
    assert torch.equal(ends(far, torch.ones_like(r)), far)


def test_times_come_closer():
    rule = Neighbours(first=10, last=1280)
    assert [rule.count(k / 8) for k in range(9)] == [10, 20, 40, 80, 160, 320, 640, 1280, 1280]
    assert Neighbours(first=10, last=25).count(1.0) == 25
    draws = lambda: Draws(2000, torch.Generator().manual_seed(0), None, torch.float64)  # noqa: E731
    for progress, count in ((0.0, 10), (0.3, 40)):
        t, r, weight = rule.sample(draws(), progress)
        torch.testing.assert_close(r - t, torch.full_like(t, 1 / count))
        torch.testing.assert_close(weight, torch.ones_like(t))
    warped = Neighbours(grid=Karras(7.0), first=8, last=8).sample(draws(), 0.0, (0.1, 0.9))
    assert warped.t.min() >= 0.1 and warped.r.max() <= 0.9 and (warped.r > warped.t).all()
    first = Karras(7.0)(8).nodes[1]
    torch.testing.assert_close(warped.weight * (warped.r - warped.t) / 0.8, first.expand(2000))
    early, late = (Tuned().sample(draws(), progress) for progress in (0.0, 0.9))
    assert float((early.r == 1).double().mean()) == pytest.approx(0.66, abs=0.01)  # n >= 2 from t = 0.34 on
    assert (late.r - late.t).max() < 0.05
    for rule in (early, late):
        assert (rule.r > rule.t).all() and torch.isfinite(rule.weight).all()
    t = torch.tensor([0.5]).double()
    assert float(Tuned().stepped(t, 0.5)[1]) == pytest.approx(0.5 + 0.5 * (1 + 8 * 0.2689414) / 32)
    with pytest.raises(InputError, match="first <= last"):
        Neighbours(first=20, last=10)
    with pytest.raises(InputError, match="one stage"):
        Tuned(stages=0)


def learned_noise(strength: float = 0.1) -> tuple[NoiseDivergence, Field]:
    torch.manual_seed(0)
    field = Field(ToEnd(MLP(width=16, depth=1)), VariationalNoise(width=8, depth=1), (2,), {}).double()
    nn.init.normal_(field.path.encoder.last.weight, std=0.3)
    nn.init.normal_(field.network.network.last.weight, std=0.3)
    return NoiseDivergence(Consistency(times=steps(4)), strength), field


def test_noise_divergence_is_added():
    """The closed form of the divergence between Gaussians, and gradients of both terms in the encoder."""
    objective, field = learned_noise(0.7)
    batch, g = pairs(torch.Generator().manual_seed(1), 64), lambda: torch.Generator().manual_seed(2)
    loss, base = (each(field, batch, field.path, generator=g()) for each in (objective, objective.base))
    law = torch.distributions.Normal
    mean, log_variance = field.path.encoding(batch.x1, None)
    exact = torch.distributions.kl_divergence(law(mean, (log_variance / 2).exp()), law(0.0, 1.0)).mean()
    torch.testing.assert_close(loss.terms["divergence"], exact.detach())
    torch.testing.assert_close(loss.total, base.total + 0.7 * exact)
    weight = field.path.encoder.last.weight
    assert torch.autograd.grad(base.total, weight)[0].norm() > 0


def test_gradients_reach_the_encoder_through_the_state_alone():
    """Not through what the later neighbour says, nor through its velocity."""
    objective, field = learned_noise()
    batch, generator = pairs(torch.Generator().manual_seed(1), 64), torch.Generator().manual_seed(2)
    draws = Draws(64, torch.Generator().manual_seed(2), None, torch.float64)
    t, r, weight = objective.base.times.sample(draws, 1.0)
    z = field.path.encoding(batch.x1, None).draw(batch.x0)
    x = torch.lerp(z, batch.x1, t[:, None])
    said = x + (1 - t)[:, None] * field.network.network(x, t, None)
    later = torch.lerp(z, batch.x1, r[:, None]).detach()
    target = (later + (1 - r)[:, None] * field.network.network(later, r, None)).detach()
    wanted = torch.autograd.grad((said - target).square().mean(), field.path.encoder.last.weight)[0]
    loss = objective.base(field, batch, field.path, generator=generator).total
    torch.testing.assert_close(torch.autograd.grad(loss, field.path.encoder.last.weight)[0], wanted)
    assert (weight == 1).all()


def test_mistakes_and_descriptions():
    for objective in (
        Consistency(times=Tuned(), distance=PseudoHuber(0.1)),
        NoiseDivergence(Consistency(), 0.2),
        NoiseDivergence(Shortcut()),
    ):
        assert build(describe(objective)) == objective
    assert Consistency().architecture(MLP()) == ToEnd(MLP()) and Consistency().sampler() == Renoised()
    wrapped = NoiseDivergence(Shortcut(target_decay=0.9))
    assert (
        wrapped.target_average() == 0.9
        and wrapped.sampler() == Jump()
        and wrapped.architecture(MLP()) == TwoTime(MLP())
    )
    with pytest.raises(InputError, match="strength"):
        NoiseDivergence(strength=-1.0)
    batch = Pairs(torch.randn(8, 2), torch.randn(8, 2))
    plain = Field(MLP(width=8), Affine(), (2,), {})
    with pytest.raises(InputError, match="told one time"):
        Consistency()(plain, batch, plain.path)
    field = Field(ToEnd(MLP(width=8)), Affine(), (2,), {})
    with pytest.raises(InputError, match="not its velocity"):
        FlowMatching()(field, batch, field.path)
    with pytest.raises(InputError, match="needs a VariationalNoise path"):
        NoiseDivergence()(field, batch, field.path)
    with pytest.raises(InputError, match="not 2 things"):
        ToEnd(MLP()).build((2,), {}, heads=2)
    assert isinstance(field.network, EndVelocity) and field.only_to_end and not plain.only_to_end


def test_other_paths_masks_and_weights():
    field = Field(ToEnd(MLP(width=8)), Affine(VP()), (2,), {})
    mask = torch.tensor([[True, False]]).expand(16, 2)
    batch = Pairs(torch.randn(16, 2), torch.randn(16, 2), weight=torch.rand(16), mask=mask)
    for times in (steps(8), Tuned()):
        assert torch.isfinite(Consistency(times=times)(field, batch, field.path).total)
