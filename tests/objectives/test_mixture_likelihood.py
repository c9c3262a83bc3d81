"""The likelihood of transitions: its exact minimiser, and a trained mixture end to end."""

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.measures import Gaussian, VelocityOracle, ring
from pushforward.networks import MLP, Field, MixtureHead
from pushforward.networks.mixture_head import MixtureLaw
from pushforward.objectives import TransitionLikelihood, Uniform
from pushforward.paths import Affine, CondOT, bridge_step
from pushforward.solvers import MixtureODE, MixtureSDE
from pushforward.training import Trainer


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


class Known(MixtureLaw):
    """The exact mixtures, with parameters that change their weights, means and deviations, at zero the exact ones."""

    def __init__(self):
        nn.Module.__init__(self)
        self.oracle = VelocityOracle(Gaussian.standard(2), ring(), CondOT())
        self.theta = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def mixture(self, x, t, condition=None):
        exact = self.oracle.mixture(x, t)
        means = exact.means * (1 + self.theta[0]) + 0.3 * self.theta[1]
        return type(exact)(exact.log_weight, means, exact.variance * self.theta[2].exp())


def pairs(rows, seed=0):
    x0 = torch.randn(rows, 2, generator=gen(seed)).double()
    return Pairs(x0, ring().sample(rows, generator=gen(seed + 1000)).double(), gaussian_source=True)


@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_exact_mixture_is_the_minimiser(ratio):
    """At the truth the gradient vanishes, to its standard error; at other parameters it does not."""
    objective, path = TransitionLikelihood(ratio, Uniform()), Affine()
    field = Field(Known(), path, (2,), {})
    gradients = {0.0: [], 0.2: []}
    for shift, found in gradients.items():
        with torch.no_grad():
            field.network.theta.fill_(shift)
        for seed in range(24):
            total = objective(field, pairs(2000, seed), path, generator=gen(seed)).total
            found.append(torch.autograd.grad(total, field.network.theta)[0])
    z = {shift: torch.stack(g).mean(0).abs() / (torch.stack(g).std(0) / 24**0.5) for shift, g in gradients.items()}
    assert (z[0.0] < 4).all() and (z[0.2] > 8).any()


def test_loss_is_that_of_the_transition_up_to_a_constant_of_time():
    """Against the transition's own mixture, `c1 x + c2 x1` with the variance of the bridge added."""
    path, objective, t = Affine(), TransitionLikelihood(0.6), torch.full((50,), 0.3, dtype=torch.float64)
    law, some = Known(), pairs(50)
    now, later = path.schedule(t), path.schedule(t + 0.6 * (1 - t))
    x, v = path.schedule.interpolate(some.x0, some.x1, t)
    step, z = bridge_step(now, later), torch.randn(50, 2, generator=gen()).double()
    reached = step.x_weight[:, None] * x + step.data_weight[:, None] * some.x1 + step.variance.sqrt()[:, None] * z
    scale = step.data_weight * now.sigma / now.delta
    shift = (step.x_weight - step.data_weight * now.d_sigma / now.delta)[:, None] * x
    exact = law.mixture(x, t).affine(scale, shift).blurred(step.variance).log_prob(reached)
    blur = objective.blur(path.schedule, t)
    found = law.mixture(x, t).blurred(blur**2).log_prob(v + blur[:, None] * z)
    assert torch.allclose(found - 2 * scale.log(), exact, atol=1e-9)


def test_needs_a_mixture_and_independent_noise():
    objective, path = TransitionLikelihood(), Affine()
    some = Pairs(torch.zeros(4, 2), torch.ones(4, 2), gaussian_source=True)
    with pytest.raises(InputError, match="MixtureHead"):
        objective(Field(MLP(8), path, (2,), {}), some, path)
    field = Field(MixtureHead(3, MLP(8)), path, (2,), {})
    with pytest.raises(InputError, match="independent noise"):
        objective(field, Pairs(some.x0, some.x1), path)
    with pytest.raises(InputError, match="predicts a mean"):
        _ = Field(MLP(8), path, (2,), {}).law


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
def test_fit_saves_loads_and_draws(tmp_path, shape):
    target = 0.2 * torch.randn(200, *shape, generator=gen()) + torch.tensor([1.0, -1.0])[torch.arange(200) % 2].reshape(
        200, *[1] * len(shape)
    )
    transport = pf.fit(
        "gaussian", target, network=MixtureHead(4, MLP(32, 2)), objective=TransitionLikelihood(),
        solver=MixtureSDE(2), trainer=Trainer(steps=150, batch_size=64, ema=0.9), out=tmp_path / "run",
    )  # fmt: skip
    x = torch.randn(300, *shape, generator=gen(1))
    moved = transport.push(x, generator=gen(2))
    assert moved.shape == x.shape and float(moved.mean(0).abs().max()) < 1
    again = pf.load(tmp_path / "run")
    assert torch.equal(again.push(x, generator=gen(2)), moved)
    assert not torch.equal(again.push(x, steps=3, generator=gen(2)), moved)
    assert again.solve(x, solver=MixtureODE(2)).evaluations == 2
    assert again.push(x, method="euler", steps=2).shape == x.shape
