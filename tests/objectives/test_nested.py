"""Flows of velocities: the exact minimiser of the nested loss, exact draws, and trained laws end to end."""

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, VelocityOracle
from pushforward.networks import MLP, Field, FlowHead, FlowLaw, HierarchicalFlow
from pushforward.objectives import Discrete, NestedFlowMatching, VelocityBank
from pushforward.paths import Affine, CondOT
from pushforward.solvers import NestedSampler
from pushforward.training import Trainer

NETWORKS = [HierarchicalFlow(MLP(32, 2)), FlowHead(MLP(32, 2), MLP(16, 2))]
NOISE, TARGET = Gaussian([0.0]), Gaussian([1.0], [[0.16]])


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


class Told(nn.Module):
    """A context that passes the mean and variance of the exact law of the velocity."""

    def forward(self, x, t, condition=None):
        exact = VelocityOracle(NOISE, TARGET, CondOT()).mixture(x, t)
        return {"mean": exact.mean(), "variance": exact.spread()[:, None]}


class Exact(nn.Module):
    """The straight flow from N(0, 1) to the Gaussian that it is told, with parameters that change it."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, v, tau, told):
        tau = tau[:, None]
        spread = tau**2 * told["variance"] + (1 - tau) ** 2
        gain = (tau * told["variance"] - (1 - tau)) / spread
        return told["mean"] * (1 + self.theta[0]) + gain * (v - tau * told["mean"]) + self.theta[1]


def exact_law(steps=8):
    return FlowLaw(Exact(), Told(), steps)


def test_exact_inner_flow_is_the_minimiser():
    objective, path = NestedFlowMatching(draws=2), Affine()
    field = Field(exact_law(), path, (1,), {})
    theta, z = field.network.inner.theta, {}
    for shift in (0.0, 0.1):
        with torch.no_grad():
            theta.fill_(shift)
        found = []
        for seed in range(24):
            x0 = torch.randn(1000, 1, generator=gen(seed), dtype=torch.float64)
            x1 = TARGET.sample(1000, generator=gen(100 + seed)).double()
            total = objective(field, Pairs(x0, x1), path, generator=gen(seed)).total
            found.append(torch.autograd.grad(total, theta)[0])
        g = torch.stack(found)
        z[shift] = (g.mean(0) / (g.std(0) / 24**0.5)).abs()
    assert (z[0.0] < 4).all() and (z[0.1] > 8).all()


def test_exact_inner_flow_has_the_law_and_its_mean():
    law, oracle = exact_law(), VelocityOracle(NOISE, TARGET, CondOT())
    x, t = torch.full((20_000, 1), 0.7, dtype=torch.float64), torch.full((20_000,), 0.4, dtype=torch.float64)
    exact, drawn = oracle.mixture(x[:1], t[:1]), law.sample(x, t, generator=gen()).detach()
    assert abs(float(drawn.mean() - exact.mean())) < 0.02
    assert abs(float(drawn.var() / exact.variance) - 1) < 0.04
    assert torch.allclose(law.mean(x[:1], t[:1]), AffineOracle(NOISE, TARGET, CondOT()).velocity(x[:1], t[:1]))


@pytest.mark.parametrize("steps", [1, 4])
def test_deviation_is_kept_at_any_number_of_outer_steps(steps):
    field = Field(exact_law(), Affine(), (1,), {})
    x = torch.randn(20_000, 1, generator=gen(), dtype=torch.float64)
    with torch.no_grad():
        drawn = NestedSampler(steps).solve(field, x, generator=gen(1)).x
    assert abs(float(drawn.std()) - 0.4) < 0.01 and abs(float(drawn.mean()) - 1) < 0.02


def test_users_choose_the_steps_of_the_flow_inside():
    """As many as the network was made with are the default; a law without a flow inside has none."""
    field, x = Field(exact_law(8), Affine(), (1,), {}), torch.randn(100, 1, generator=gen(), dtype=torch.float64)
    with torch.no_grad():
        own, eight, one = (NestedSampler(2, inner_steps=n).solve(field, x, generator=gen(1)).x for n in (None, 8, 1))
        coarse = NestedSampler(2).solve(Field(exact_law(1), Affine(), (1,), {}), x, generator=gen(1)).x
    assert torch.equal(own, eight) and torch.equal(one, coarse) and (own - one).abs().max() > 0.01
    with pytest.raises(InputError, match="at least 1"):
        NestedSampler(2, inner_steps=0).solve(field, x)
    with pytest.raises(InputError, match="leave out inner_steps"):
        NestedSampler(2, inner_steps=3).solve(VelocityOracle(NOISE, TARGET, CondOT()), x)


def test_bank_keeps_the_law_at_each_state_and_pairs_it_with_the_noise():
    """Exact draws and the bank's have one mean and variance at each state, and only the bank's go with their noise."""
    rows, t = 4000, torch.full((4000,), 0.4, dtype=torch.float64)
    x0 = torch.randn(rows, 1, generator=gen(), dtype=torch.float64)
    pairs = Pairs(x0, TARGET.sample(rows, generator=gen(1)).double(), gaussian_source=True)
    point, now = Affine().point(pairs, Times(t, t, t)), CondOT()(t)
    v0, v = VelocityBank(8)(pairs, point, now, generator=gen(2))
    exact = VelocityOracle(NOISE, TARGET, CondOT()).mixture(point.x, t)
    z = (v - exact.mean()) / exact.variance.sqrt()[:, None]
    assert abs(float(z.mean())) < 0.05 and abs(float(z.std()) - 1) < 0.05
    assert abs(float((z * point.x).mean())) < 0.05  # given the state, not on average alone
    assert abs(float(v0.mean())) < 0.05 and abs(float(v0.std()) - 1) < 0.05
    assert abs(float((v0 * point.x).mean())) < 0.05
    # eight sorted normals against eight others: the mean square of the expected order statistics
    assert abs(float((v0 * z).mean()) - 0.75) < 0.04
    with pytest.raises(InputError, match="independent noise"):
        VelocityBank()(Pairs(x0, pairs.x1), point, now)


def test_mean_of_a_law_trained_with_a_bank_is_averaged_over_noises():
    class Folded(nn.Module):
        def forward(self, v, tau, told):
            return v.abs() - v  # E[v1 | v0] = |v0|

    x, t = torch.zeros(3, 1), torch.zeros(3)
    one, many = (FlowLaw(Folded(), Told(), 2, mean_draws=n) for n in (1, 4000))
    assert float(one.mean(x, t).abs().max()) == 0
    assert torch.allclose(many.mean(x, t), torch.full((3, 1), (2 / torch.pi) ** 0.5), atol=0.04)


def test_tokens_are_drawn_from_their_own_features():
    law = FlowHead(MLP(8), MLP(8), tokens=2, features=3).build((4,), {})
    nn.init.normal_(law.inner.last.weight)
    nn.init.normal_(law.context.backbone.last.weight)
    x, t = torch.randn(5, 4), torch.rand(5)
    drawn = law.sample(x, t, generator=gen())
    assert drawn.shape == (5, 4) and law.mean(x, t).shape == (5, 4)
    features = law.context(x, t)["features of the backbone"]
    entries = law.context.backbone(x, t).view(5, 3, 4)
    assert torch.equal(features.view(5, 2, 6)[:, 1], entries[:, :, 2:].flatten(1))
    with pytest.raises(InputError, match="do not divide"):
        FlowHead(tokens=3).build((4,), {})


def test_wrong_networks_are_refused():
    some, path = Pairs(torch.zeros(4, 2), torch.ones(4, 2)), Affine()
    with pytest.raises(InputError, match="HierarchicalFlow or FlowHead"):
        NestedFlowMatching()(Field(MLP(8), path, (2,), {}), some, path)
    with pytest.raises(InputError, match="velocity alone"):
        Field(FlowHead(), path, (2,), {}, "velocity, data")
    with pytest.raises(InputError, match="leave out draws"):
        NestedFlowMatching(bank=VelocityBank(), draws=2)
    with pytest.raises(InputError, match="at least 1"):
        HierarchicalFlow(inner_steps=0)


def test_pairs_weights_count():
    field, path = Field(NETWORKS[0], Affine(), (2,), {}), Affine()
    x0, x1 = torch.randn(6, 2, generator=gen()), torch.randn(6, 2, generator=gen(1))
    some = Pairs(x0, x1, weight=torch.tensor([0.0, 0, 0, 2.0, 0, 0]))
    loss = NestedFlowMatching(draws=3)(field, some, path, generator=gen())
    assert loss.per_sample.shape == (6,) and torch.isclose(loss.total, loss.per_sample[3])


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: type(n).__name__)
def test_fit_resumes_saves_loads_and_draws(tmp_path, network):
    target = torch.cat([torch.full((100, 2), 1.0), torch.full((100, 2), -1.0)])
    options = {
        "network": network, "objective": NestedFlowMatching(Discrete(2)), "solver": NestedSampler(2),
        "condition": torch.arange(200) // 100,
    }  # fmt: skip
    trainer = Trainer(steps=30, batch_size=32, ema=0.9, checkpoint_every=10)
    whole = pf.fit("gaussian", target, trainer=trainer, out=tmp_path / "run", **options)
    checkpoints = sorted((tmp_path / "run" / "checkpoints").glob("*.safetensors"))
    checkpoints[-1].unlink()
    again = pf.fit("gaussian", target, trainer=trainer, out=tmp_path / "run", resume=True, **options)
    x, labels = torch.randn(50, 2, generator=gen()), torch.zeros(50, dtype=torch.long)
    assert whole.field.velocity(x, torch.rand(50)).shape == (50, 2)
    drawn = whole.push(x, labels, generator=gen(1))
    assert torch.equal(again.push(x, labels, generator=gen(1)), drawn)
    assert torch.equal(pf.load(tmp_path / "run").push(x, labels, generator=gen(1)), drawn)
    assert not torch.equal(whole.push(x, labels, generator=gen(2)), drawn)
