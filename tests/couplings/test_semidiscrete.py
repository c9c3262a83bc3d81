"""Semi-discrete pairs: quantile cells on the line, weights, classes, and what travels with a target."""

import pytest
import torch
from tests.couplings.sides import sides_of

from pushforward import fit
from pushforward.citations import cite
from pushforward.configuration import build, describe
from pushforward.couplings import MinibatchOT, SemiDiscrete
from pushforward.errors import InputError
from pushforward.measures import Empirical, Gaussian
from pushforward.networks import MLP
from pushforward.training import Trainer

QUICK = {"iterations": 400, "batch": 512}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def line(n=5):
    return torch.linspace(-1, 3, n)[:, None], {"row": torch.arange(n)}


def test_cells_of_the_line_end_at_quantiles():
    y, row = line()
    coupling = SemiDiscrete(by_condition=False, **QUICK).prepared(sides_of(Gaussian([0.0]), y, row), generator=rng())
    x0 = torch.randn(20_000, 1, generator=rng(1))
    pairs = coupling(x0, x0, {"row": torch.zeros(20_000, dtype=torch.long)})
    exact = (torch.special.ndtr(x0[:, 0]) * 5).long()  # equal masses, in order
    assert float((pairs.condition["row"] == exact).double().mean()) > 0.97
    assert torch.equal(pairs.x0, x0) and torch.equal(pairs.x1, y[pairs.condition["row"]])
    assert coupling.marginal_error < 0.03 and not pairs.gaussian_source


def test_pairs_beat_any_batch():
    y = torch.randn(300, 2, generator=rng(3))
    coupling = SemiDiscrete(**QUICK).prepared(sides_of(Gaussian.standard(2), y), generator=rng())
    x0, x1 = torch.randn(64, 2, generator=rng(4)), y[:64]
    cost = lambda pairs: float((pairs.x0 - pairs.x1).square().sum(1).mean())  # noqa: E731
    assert cost(coupling(x0, x1)) < 0.7 * cost(MinibatchOT()(x0, x1))


def test_categories_keep_the_source_and_are_those_drawn():
    y, label = torch.cat([torch.linspace(-5, -3, 10), torch.linspace(3, 5, 20)])[:, None], torch.arange(30) // 10
    label = label.clamp(max=1)
    coupling = SemiDiscrete(**QUICK, tolerance=0.1).prepared(
        sides_of(Gaussian([0.0]), y, {"label": label}), generator=rng()
    )
    drawn = torch.arange(4000) % 2
    pairs = coupling(torch.randn(4000, 1, generator=rng(1)), torch.zeros(4000, 1), {"label": drawn})
    assert torch.equal(pairs.condition["label"], drawn) and torch.equal(pairs.x1[:, 0] > 0, drawn == 1)
    for k in (0, 1):
        assert abs(float(pairs.x0[drawn == k].mean())) < 0.1 and float(pairs.x0[drawn == k].std()) > 0.93
    with pytest.raises(InputError, match="categories"):
        coupling(torch.zeros(1, 1), torch.zeros(1, 1), {"label": torch.tensor([7])})


def test_entropic_pairs_are_drawn_by_the_plan():
    y = torch.tensor([[-1.0], [1.0]])
    coupling = SemiDiscrete(epsilon=2.0, **QUICK).prepared(sides_of(Gaussian([0.0]), y), generator=rng())
    x0 = torch.full((20_000, 1), 0.5)
    share = float((coupling(x0, x0, generator=rng()).x1 > 0).double().mean())
    assert share == pytest.approx(1 / (1 + torch.e ** (-4 * 0.5 / 2)), abs=0.03)  # by symmetry both have one potential


@pytest.mark.parametrize("n, m", [(1, 4), (7, 3), (5, 5)])
def test_sizes(n, m):
    y, _ = line()
    coupling = SemiDiscrete(iterations=5, batch=16, tolerance=2).prepared(sides_of(Gaussian([0.0]), y), generator=rng())
    pairs = coupling(torch.randn(n, 1), torch.zeros(m, 1), generator=rng())
    assert len(pairs) == m and pairs.x0.shape == (m, 1) and pairs.condition is None


def test_what_is_refused():
    x = torch.zeros(2, 1)
    with pytest.raises(InputError, match="prepared"):
        SemiDiscrete()(x, x)
    with pytest.raises(InputError, match="finite set"):
        SemiDiscrete().prepared(sides_of(Gaussian([0.0]), Gaussian([0.0])), generator=rng())
    with pytest.raises(InputError, match="epsilon"):
        SemiDiscrete(epsilon=-1.0)


def test_description_and_a_resumed_run(tmp_path):
    coupling = SemiDiscrete(iterations=20, batch=32, tolerance=2)
    assert build(describe(coupling)) == coupling and "stochastic" in cite(coupling).lower()
    options = {"network": MLP(width=8, depth=1), "coupling": coupling, "seed": 1}
    target, x = Empirical(torch.randn(40, 2, generator=rng())), torch.randn(3, 2, generator=rng(9))
    trainers = [Trainer(steps=n, batch_size=16, checkpoint_every=3, decay="constant") for n in (3, 6)]
    whole = fit("gaussian", target, trainer=trainers[1], **options).push(x)
    fit("gaussian", target, trainer=trainers[0], out=tmp_path / "run", **options)
    resumed = fit("gaussian", target, trainer=trainers[1], out=tmp_path / "run", resume=True, **options).push(x)
    assert torch.equal(whole, resumed)
