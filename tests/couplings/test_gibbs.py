"""Gibbs weights: the closed form between Gaussians, and the rules for epsilon."""

import pytest
import torch
from tests.couplings.sides import sides_of

from pushforward import fit
from pushforward.citations import cite
from pushforward.configuration import build, describe
from pushforward.couplings import GibbsWeights, Independent
from pushforward.errors import InputError
from pushforward.measures import Gaussian
from pushforward.metrics import effective_share
from pushforward.networks import MLP
from pushforward.training import Trainer


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "epsilon, means, variance, share", [(0.5, (0.4, 0.6), 0.6, 0.50), (2, (0.25, 0.75), 0.75, 0.80)]
)
def test_weighted_moments_of_gaussians(epsilon, means, variance, share):
    """Precision [[1 + 1/e, -1/e], [-1/e, 1 + 1/e]], potential (0, 1), for the cost with a factor 1/2."""
    x0, x1 = (torch.randn(200_000, 1, generator=rng(s), dtype=torch.float64) + s for s in (0, 1))
    pairs = GibbsWeights(2 * epsilon)(x0, x1, generator=rng(2))
    weight = pairs.weight / pairs.weight.sum()
    for x, mean in zip((pairs.x0, pairs.x1), means, strict=True):
        found = float(weight @ x[:, 0])
        assert found == pytest.approx(mean, abs=0.01)
        assert float(weight @ (x[:, 0] - found).square()) == pytest.approx(variance, abs=0.01)
    assert float(effective_share(pairs.weight)) == pytest.approx(share, abs=0.01)
    assert float(pairs.weight.mean()) == pytest.approx(1)
    assert not pairs.gaussian_source


def test_rules_for_epsilon():
    sides = sides_of(Gaussian.standard(8), Gaussian([1.0] * 8))
    x0, x1 = sides.source(20_000, generator=rng(5)), sides.target(20_000, generator=rng(6))[0]
    for share in (0.2, 0.5, 0.9):
        coupling = GibbsWeights(f"ess:{share}").prepared(sides, generator=rng())
        assert coupling == GibbsWeights(f"ess:{share}").prepared(sides, generator=rng())
        assert float(effective_share(coupling(x0, x1, generator=rng()).weight)) == pytest.approx(share, abs=0.06)
    spread = float((x0 - x1).square().sum(1).std())
    assert GibbsWeights("std:2").prepared(sides, generator=rng()).epsilon == pytest.approx(2 * spread, rel=0.05)
    assert GibbsWeights(3.0).prepared(sides, generator=rng()) == GibbsWeights(3.0)


def test_pairs_are_those_of_the_independent_coupling():
    x0, x1, label = torch.randn(50, 2), torch.randn(30, 2), {"label": torch.arange(30)}
    pairs, plain = (c(x0, x1, label, generator=rng()) for c in (GibbsWeights(1.0), Independent()))
    assert torch.equal(pairs.x0, plain.x0) and torch.equal(pairs.condition["label"], label["label"])
    warm = GibbsWeights(1e6)(x0, x1, generator=rng()).weight
    torch.testing.assert_close(warm, torch.ones(30), atol=1e-3, rtol=0)


def test_far_away_rows_keep_a_little_weight():
    x1 = torch.cat([torch.zeros(4, 1), torch.full((4, 1), 1e4)])
    pairs = GibbsWeights(0.1)(torch.zeros(8, 1), x1, gaussian_source=True)
    assert (pairs.weight[4:] > 0).all() and torch.isfinite(pairs.weight).all()


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), "ess:2", "ess", "kappa:1", "std:-1"])
def test_impossible_epsilons(epsilon):
    with pytest.raises(InputError, match="epsilon"):
        GibbsWeights(epsilon)


def test_a_rule_without_data_is_refused():
    with pytest.raises(InputError, match="prepared"):
        GibbsWeights()(torch.zeros(2, 1), torch.zeros(2, 1))


def test_description_and_training(tmp_path):
    coupling = GibbsWeights("ess:0.7")
    assert build(describe(coupling)) == coupling and "@" in cite(coupling)
    options = {"network": MLP(width=8, depth=1), "coupling": coupling, "seed": 1}
    trainer = Trainer(steps=6, batch_size=16, checkpoint_every=3)
    x = torch.randn(2, 1, generator=rng())
    whole = fit(Gaussian([0.0]), Gaussian([1.0]), trainer=trainer, **options).push(x)
    first = Trainer(steps=3, batch_size=16, checkpoint_every=3, decay="constant")
    fit(Gaussian([0.0]), Gaussian([1.0]), trainer=first, out=tmp_path / "run", **options)
    more = Trainer(steps=6, batch_size=16, checkpoint_every=3, decay="constant")
    again = fit(Gaussian([0.0]), Gaussian([1.0]), trainer=more, out=tmp_path / "run", resume=True, **options).push(x)
    straight = fit(Gaussian([0.0]), Gaussian([1.0]), trainer=more, **options).push(x)
    assert torch.equal(again, straight) and whole.shape == again.shape
