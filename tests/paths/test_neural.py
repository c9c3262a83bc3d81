"""Learned noising processes: derivatives, the bound, and the usual bound where nothing is learned."""

import math

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.measures import Gaussian, GaussianMixture
from pushforward.networks import MLP, Field
from pushforward.objectives import DiffusionBound
from pushforward.paths import VP, CondOT, NeuralDiffusion
from pushforward.solvers import SDE
from pushforward.training import Trainer

DOUBLE = torch.float64


def random_path(seed=0):
    torch.manual_seed(seed)
    path = NeuralDiffusion(network=MLP(width=8, depth=1, activation="tanh")).built((2,), {})
    nn.init.normal_(path.process.last.weight, std=0.3)
    return path.double()


def points(n=20, d=2):
    g = torch.Generator().manual_seed(0)
    x0, x1 = (torch.randn(n, d, generator=g, dtype=DOUBLE) for _ in range(2))
    return x0, x1, 0.1 + 0.8 * torch.rand(n, generator=g, dtype=DOUBLE)


def at(path, x0, x1, t):
    return path.point(Pairs(x0, x1, gaussian_source=True), Times(t, t, torch.zeros_like(t)))


def test_velocity_and_curvature_are_time_derivatives():
    path, (x0, x1, t), h = random_path(), points(), 1e-4
    ahead, here, behind = (at(path, x0, x1, t + d) for d in (h, 0, -h))
    torch.testing.assert_close(here.v, (ahead.x - behind.x) / (2 * h), rtol=1e-5, atol=1e-5)
    bend = path.curvature(x1, x0, t)
    torch.testing.assert_close(bend, (ahead.v - behind.v) / (2 * h), rtol=1e-5, atol=1e-5)
    assert bend.abs().max() > 0.01


def test_ends_are_those_of_the_schedule():
    path, (x0, x1, _) = random_path(), points()
    torch.testing.assert_close(at(path, x0, x1, torch.zeros(20, dtype=DOUBLE)).x, x0)
    torch.testing.assert_close(at(path, x0, x1, torch.ones(20, dtype=DOUBLE)).x, x1 + 0.01 * x0)


def test_the_data_give_the_rest():
    path, (x0, x1, t) = random_path(), points()
    point = at(path, x0, x1, t)
    for kind in ("velocity", "noise", "score"):
        expected = path.target(point, kind, gaussian_source=True)
        found = path.convert(x1, point.x, t, "data", kind, gaussian_source=True)
        torch.testing.assert_close(found, expected)
    with pytest.raises(InputError, match="predicts='data'"):
        path.convert(x1, point.x, t, "velocity", "data")
    with pytest.raises(InputError, match="N\\(0, I\\)"):
        path.convert(x1, point.x, t, "data", "score")


@pytest.mark.parametrize("schedule", [VP(), CondOT(0.01)], ids=repr)
def test_nothing_learned_is_the_usual_bound(schedule):
    """`1/2 integral SNR' |x1 - xhat|^2 dt`, with `SNR' / 2 = alpha Delta / sigma^3`, sample by sample."""
    path, (x0, x1, _) = NeuralDiffusion(schedule, learned=False), points()

    class Constant(nn.Module):
        def forward(self, x, t, condition=None):
            return torch.full_like(x, 0.3)

    field = Field(Constant(), path, (2,), {}, "data", gaussian_source=True)
    field.network = Constant()
    loss = DiffusionBound()(
        field, Pairs(x0, x1, gaussian_source=True), field.path, generator=torch.Generator().manual_seed(1)
    )
    times = DiffusionBound().time.sample(20, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    low, high = 1e-5, schedule.interval[1]
    c = schedule(low + (high - low) * times.label)
    diffusion = (high - low) * c.alpha * c.delta / c.sigma**3 * (x1 - 0.3).square().sum(1)
    first, last = (schedule(torch.tensor([t], dtype=DOUBLE)) for t in (0.0, high))
    decoder = torch.distributions.Normal(0.0, float(last.sigma / last.alpha))
    reconstruction = 2 * decoder.entropy().double()
    noisy = torch.distributions.Normal(first.alpha * x1, first.sigma)
    prior = torch.distributions.kl_divergence(noisy, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(loss.per_sample, diffusion + reconstruction + prior, rtol=1e-5, atol=1e-5)
    assert float(loss.terms["bound"]) == pytest.approx(2 * float(loss.total), rel=1e-6)


@pytest.mark.parametrize("schedule", [VP(), CondOT(0.01)], ids=repr)
def test_bound_of_the_exact_denoiser_is_the_entropy(schedule):
    """Gaussian data N(0, 0.25): the exact `E[x1 | z]` makes the bound tight, to the noise left at its end."""

    class Exact(nn.Module):
        def forward(self, x, t, condition=None):
            c = schedule(t)
            return (c.alpha * 0.25 / (c.alpha**2 * 0.25 + c.sigma**2))[:, None] * x

    field = Field(Exact(), NeuralDiffusion(schedule, learned=False), (1,), {}, "data", gaussian_source=True)
    field.network = Exact()
    g = torch.Generator().manual_seed(0)
    x0, x1 = (
        torch.randn(200_000, 1, generator=g, dtype=DOUBLE),
        0.5 * torch.randn(200_000, 1, generator=g, dtype=DOUBLE),
    )
    loss = DiffusionBound()(field, Pairs(x0, x1, gaussian_source=True), field.path, generator=g)
    entropy = math.log(0.5) + 0.5 * math.log(2 * math.pi * math.e)
    error = float(loss.per_sample.std()) / math.sqrt(200_000)
    assert -4 * error < float(loss.terms["bound"]) - entropy < 0.02 + 4 * error


def test_gradients_reach_the_process_through_the_guess():
    """The prediction is noised by the process too: forgetting that would leave another gradient."""
    path, (x0, x1, _) = random_path(), points()
    field = Field(MLP(width=8), path, (2,), {}, "data", gaussian_source=True).double()
    field.path = path
    nn.init.normal_(field.network.network.last.weight)
    weight = path.process.last.weight

    def bound():
        generator = torch.Generator().manual_seed(3)
        return DiffusionBound(0.1)(field, Pairs(x0, x1, gaussian_source=True), path, generator=generator).total

    (gradient,) = torch.autograd.grad(bound(), weight)
    direction, h = torch.randn_like(weight), 1e-6
    with torch.no_grad():
        weight += h * direction
        ahead = bound()
        weight -= 2 * h * direction
        behind = bound()
    assert float((gradient * direction).sum()) == pytest.approx(float((ahead - behind) / (2 * h)), rel=1e-4)


def test_refuses_other_pieces():
    for options, match in (({"predicts": "velocity"}, "predicts='data'"), ({"path": None}, "NeuralDiffusion")):
        given = {"path": NeuralDiffusion(), "predicts": "data"} | options
        with pytest.raises(InputError, match=match):
            pf.fit("gaussian", Gaussian([0.0]), objective=DiffusionBound(), trainer=Trainer(steps=1), **given)


def test_trains_samples_resumes_and_is_kept(tmp_path):
    target = GaussianMixture(torch.tensor([[-1.0], [1.0]]), torch.full((2, 1, 1), 0.04))
    options = {
        "path": NeuralDiffusion(network=MLP(width=8, depth=1, activation="tanh")), "objective": DiffusionBound(0.01),
        "predicts": "data", "network": MLP(width=16, depth=1), "out": tmp_path / "run",
        "trainer": Trainer(steps=40, batch_size=32, warmup=5, checkpoint_every=20),
    }  # fmt: skip
    whole = pf.fit("gaussian", target, **options)
    assert whole.field.path.process.last.weight.abs().max() > 1e-4
    x = torch.randn(8, 1, generator=torch.Generator().manual_seed(0))
    again = pf.load(tmp_path / "run")
    assert torch.equal(again.push(x, steps=4), whole.push(x, steps=4))
    assert (again.pull(again.push(x, steps=200), steps=200) - x).abs().max() < 0.05
    assert again.log_prob(x).isfinite().all()
    assert again.solve(x, solver=SDE(steps=10), generator=torch.Generator().manual_seed(0)).x.isfinite().all()
    for name in ("transport.json", "weights.safetensors", "checkpoints/*40*"):
        next((tmp_path / "run").glob(name)).unlink()
    resumed = pf.fit("gaussian", target, resume=True, **options)
    assert torch.equal(resumed.push(x, steps=4), whole.push(x, steps=4))
