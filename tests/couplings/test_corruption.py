"""Flows that start from what is known of their end: pairs, units, exactness, densities."""

import math

import pytest
import torch

import pushforward
from pushforward import fit
from pushforward.citations import cite
from pushforward.configuration import build, describe
from pushforward.couplings import Corruption, Degraded, Holed
from pushforward.errors import InputError
from pushforward.geometry import AveragePool, Hole, Scattered
from pushforward.maps import evaluate
from pushforward.measures import Empirical, Gaussian
from pushforward.networks import MLP, Concatenated, FrozenWhereKnown
from pushforward.training import Trainer

PIECES = [Degraded(AveragePool(2), 0.5), Holed(Scattered(0.4))]
QUICK = Trainer(steps=3, batch_size=16)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(4,), (3, 4, 6)])
@pytest.mark.parametrize("observation", PIECES, ids=lambda piece: type(piece).__name__)
def test_pairs_start_from_their_own_end(observation, shape):
    x0, x1 = (torch.randn(50, *shape, generator=rng(s)) for s in (0, 1))
    label = {"label": torch.arange(50)}
    pairs = Corruption(observation)(x0, x1, label, gaussian_source=True, generator=rng(2))
    assert torch.equal(pairs.x1, x1) and not pairs.gaussian_source
    assert torch.equal(pairs.condition["label"], label["label"]) and set(label) == {"label"}
    seen = pairs.condition["observation"].reshape(x1.shape)
    if isinstance(observation, Degraded):
        torch.testing.assert_close(seen, observation.operator.visible(x1))
        torch.testing.assert_close(pairs.x0, seen + 0.5 * x0)
        assert pairs.mask is None
    else:
        known = pairs.condition["known"].reshape(x1.shape) > 0.5
        assert torch.equal(pairs.mask, ~known) and 0.2 < known.double().mean() < 0.6
        assert torch.equal(pairs.x0, torch.where(known, x1, x0))
    schema = Corruption(observation).schema({}, shape)
    assert {name: column.width for name, column in schema.items()} == dict.fromkeys(schema, math.prod(shape))
    coupling = Corruption(observation)
    assert build(describe(coupling)) == coupling and "albergo" in cite(coupling)


def data(n=300):
    """Far from standard units, with another mean for every entry."""
    return 7 * torch.randn(n, 4, generator=rng(5)) + torch.tensor([10.0, -20.0, 30.0, 0.0])


def test_an_untrained_flow_returns_the_start_in_the_users_units(tmp_path):
    """The network predicts zero before it learns: what comes out is what went in."""
    coupling = Corruption(Degraded(AveragePool(2), 0.5))
    trainer = Trainer(steps=1, batch_size=8, learning_rate=1e-12, warmup=0)
    fit(
        "gaussian", data(), coupling=coupling, network=Concatenated(MLP(width=8)), trainer=trainer, out=tmp_path / "run"
    )
    transport = pushforward.load(tmp_path / "run")
    y, x0 = data(6), torch.randn(6, 4, generator=rng(3))
    seen = coupling.observation.observe(y)
    made = transport.push(x0, seen, steps=1)
    scale, shift = transport.target_frame.scale, transport.target_frame.shift
    start = AveragePool(2).visible((y - shift) / scale) + 0.5 * x0
    torch.testing.assert_close(made, start * scale + shift, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(transport.pull(made, seen, steps=1), x0, rtol=1e-3, atol=1e-3)
    density = Gaussian.standard(4).log_prob(x0) - 4 * math.log(0.5) - 4 * float(scale.log())
    torch.testing.assert_close(transport.log_prob(made, seen).detach(), density, rtol=1e-3, atol=1e-2)


def test_known_entries_are_exact():
    coupling = Corruption(Holed(Hole(0.5)))
    network = FrozenWhereKnown(Concatenated(MLP(width=16)))
    transport = fit("gaussian", data(), coupling=coupling, network=network, trainer=Trainer(steps=30, batch_size=32))
    y = data(20)
    seen = coupling.observation.observe(y, generator=rng(1))
    made, known = transport.push(torch.randn(20, 4), seen, steps=3), seen["known"] > 0.5
    assert 0 < known.double().mean() < 1
    torch.testing.assert_close(made[known], y[known], rtol=1e-6, atol=1e-5)
    assert (made - y)[~known].abs().min() > 0
    junk = seen | {"observation": torch.where(known, y, torch.nan)}  # what stands in the holes is of no account
    torch.manual_seed(0)
    x0 = torch.randn(20, 4)
    torch.testing.assert_close(transport.push(x0, junk, steps=3), transport.push(x0, seen, steps=3))
    with pytest.raises(InputError, match="no density"):
        transport.log_prob(y, seen)


@pytest.mark.parametrize("observation", PIECES, ids=lambda piece: type(piece).__name__)
def test_evaluation_observes_the_target(observation):
    transport = fit("gaussian", data(), coupling=Corruption(observation), network=MLP(width=8), trainer=QUICK)
    found = evaluate(transport, Gaussian.standard(4), Empirical(data()), rows=50, steps=(1,))
    assert found.rows == 50


def test_what_is_refused():
    transport = fit("gaussian", data(), coupling=Corruption(PIECES[0]), network=MLP(width=8), trainer=QUICK)
    with pytest.raises(InputError, match="'observation' is missing"):
        transport.push(torch.zeros(2, 4), {})
    with pytest.raises(InputError, match="positive noise"):
        Degraded(AveragePool(2), 0.0)
    with pytest.raises(InputError, match="already has a condition"):
        Corruption(PIECES[0]).schema(Corruption(PIECES[0]).schema({}, (4,)), (4,))
    with pytest.raises(InputError, match="give the condition 'observation'"):
        PIECES[0].encode(torch.zeros(1, 4))
