"""Every coupling keeps the marginals and carries conditions; each pairs as it says."""

import math

import pytest
import torch

from pushforward.citations import cite
from pushforward.configuration import build, describe
from pushforward.couplings import Independent, MinibatchOT
from pushforward.couplings.pairing import balanced_rows
from pushforward.errors import InputError
from pushforward.geometry import PNorm

COUPLINGS = [
    Independent(),
    MinibatchOT(),
    MinibatchOT("entropic", epsilon=0.5),
    MinibatchOT(cost=PNorm(1)),
    MinibatchOT(condition_weight=2.0),
    MinibatchOT("entropic", epsilon=0.5, condition_weight=2.0),
    MinibatchOT(condition_weight=math.inf),
    MinibatchOT("entropic", epsilon=0.5, condition_weight=math.inf),
]
SIZES = [(1, 1), (1, 4), (5, 1), (30, 30), (20, 45), (45, 20), (200, 200)]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(n, m, event=(3,), dtype=torch.float32, seed=0):
    """Rows whose first number tells which row they are, and a condition that tells the row of x1."""
    x0, x1 = (torch.randn(k, *event, generator=rng(seed + k)).to(dtype) for k in (n, m + 1000))
    x1 = x1[:m]
    x0.flatten(1)[:, 0], x1.flatten(1)[:, 0] = torch.arange(n) / n, torch.arange(m) / m
    return x0, x1, {"row": torch.arange(m), "parity": torch.arange(m) % 2}


def rows_of(x, n):
    return (x.flatten(1)[:, 0] * n).round().long()


@pytest.mark.parametrize("n, m", SIZES)
@pytest.mark.parametrize("coupling", COUPLINGS, ids=str)
def test_contract(coupling, n, m):
    x0, x1, condition = numbered(n, m)
    before = x0.clone(), x1.clone()
    pairs = coupling(x0, x1, condition, gaussian_source=True, generator=rng())
    assert len(pairs) == m and pairs.x0.shape == x1.shape and pairs.x0.dtype == x0.dtype
    targets = rows_of(pairs.x1, m)
    assert torch.equal(targets.sort().values, torch.arange(m))  # every target once
    assert torch.equal(pairs.condition["row"], targets) and torch.equal(pairs.condition["parity"], targets % 2)
    sources = rows_of(pairs.x0, n)
    torch.testing.assert_close(pairs.x0, x0[sources])  # whole rows, from x0
    if not (isinstance(coupling, MinibatchOT) and coupling.method == "entropic"):
        counts = torch.bincount(sources, minlength=n)
        assert counts.min() >= m // n and counts.max() <= -(-m // n)  # equally often, give or take one
    assert pairs.gaussian_source == isinstance(coupling, Independent)
    assert torch.equal(x0, before[0]) and torch.equal(x1, before[1])
    again = coupling(x0, x1, condition, gaussian_source=True, generator=rng())
    assert torch.equal(pairs.x0, again.x0) and torch.equal(pairs.x1, again.x1)
    assert build(describe(coupling)) == coupling and "@article" in cite(coupling)


@pytest.mark.parametrize("coupling", COUPLINGS[:4], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_without_a_condition(coupling, dtype):
    x0, x1, _ = numbered(12, 12, (1, 4, 4), dtype)
    x0.requires_grad_(True)
    pairs = coupling(x0, x1, generator=rng())
    assert pairs.x0.shape == (12, 1, 4, 4) and pairs.x0.dtype == dtype and pairs.condition is None
    assert torch.autograd.grad(pairs.x0.sum(), x0)[0].sum() == pairs.x0.numel()  # a learned source stays learnable


@pytest.mark.parametrize("coupling", [c for c in COUPLINGS if c != COUPLINGS[0]], ids=str)
def test_mean_of_the_source_is_kept(coupling):
    """Over many batches every source row is used equally often, also where sizes differ."""
    x0, x1, condition = numbered(6, 10)
    condition = {"parity": condition["parity"]}
    generator, used = rng(), torch.zeros(6)
    for _ in range(150):
        used += torch.bincount(rows_of(coupling(x0, x1, condition, generator=generator).x0, 6), minlength=6)
    assert (used / 1500 - 1 / 6).abs().max() < 0.04


def test_independent_does_not_pair_rows_of_the_same_number():
    x = torch.arange(400.0)[:, None]
    pairs = Independent()(x, x, generator=rng())
    assert abs(float(torch.corrcoef(torch.cat([pairs.x0, pairs.x1], 1).T)[0, 1])) < 0.15
    assert torch.equal(Independent()(x, x, gaussian_source=True).x0, x)  # already independent


def travelled(pairs):
    return float((pairs.x0 - pairs.x1).square().flatten(1).sum(1).mean())


def test_less_is_travelled_the_more_exact_the_method():
    x0, x1 = torch.randn(300, 2, generator=rng(0)), torch.randn(300, 2, generator=rng(1)) + 3
    exact = travelled(MinibatchOT()(x0, x1))
    cold, warm = (travelled(MinibatchOT("entropic", epsilon=e)(x0, x1, generator=rng())) for e in (0.02, 2.0))
    independent = travelled(Independent()(x0, x1, generator=rng()))
    assert exact < warm < independent
    assert cold == pytest.approx(exact, rel=0.03)  # its draws of the source are random


def test_entropic_pairs_have_the_schroedinger_correlation():
    """Standard normals, epsilon = 2 sigma^2 with sigma = 1: correlation sqrt(1/4 + 1) - 1/2 = 0.618."""
    x0, x1 = (torch.randn(1500, 1, generator=rng(s), dtype=torch.float64) for s in (0, 1))
    pairs = MinibatchOT("entropic", epsilon=2.0)(x0, x1, generator=rng())
    assert float((pairs.x0 * pairs.x1).mean()) == pytest.approx(math.sqrt(1.25) - 0.5, abs=0.06)


def labelled(n=600):
    """Standard normal source; two classes at -2 and +2, a quarter and three quarters."""
    label = (torch.rand(n, generator=rng(1)) < 0.75).long()
    x1 = 4.0 * label[:, None] - 2 + 0.3 * torch.randn(n, 1, generator=rng(2))
    return torch.randn(n, 1, generator=rng(0)), x1, {"label": label}


@pytest.mark.parametrize("method, epsilon", [("exact", None), ("entropic", 0.1)])
def test_infinite_weight_keeps_the_source_of_every_label(method, epsilon):
    x0, x1, condition = labelled()
    plain = MinibatchOT(method, epsilon)(x0, x1, condition, generator=rng())
    aware = MinibatchOT(method, epsilon, math.inf)(x0, x1, condition, generator=rng())
    for label in (0, 1):
        rows = condition["label"] == label
        assert abs(float(plain.x0[rows].mean())) > 0.35  # the trap: the source depends on the label
        assert abs(float(aware.x0[rows].mean())) < 0.25
        assert float(aware.x0[rows].std()) == pytest.approx(1, abs=0.15)
    assert travelled(plain) < travelled(aware) < travelled(Independent()(x0, x1, generator=rng()))


def test_finite_weights_lie_between():
    x0, x1, condition = labelled()
    costs = [
        travelled(MinibatchOT(condition_weight=w)(x0, x1, condition, generator=rng())) for w in (0, 2, 100, math.inf)
    ]
    assert costs[0] < costs[1] < costs[2]
    assert costs[2] == pytest.approx(costs[3], rel=1e-5)  # a ban is the limit of a price


def test_continuous_and_absent_conditions():
    """Absent covariates match each other, and cost 1 against present ones: with a high price nothing crosses."""
    x0, x1, _ = labelled(60)
    age = torch.where(torch.arange(60) < 20, torch.nan, torch.arange(60).div(20, rounding_mode="floor"))
    order = balanced_rows(60, 60, generator=rng(7))
    pairs = MinibatchOT(condition_weight=1e4)(x0, x1, {"age": age[:, None]}, generator=rng(7))
    given = torch.empty(60).index_put_((order,), age)  # what each source row was given
    matched = given[[int((x0 == x).flatten().nonzero()[0]) for x in pairs.x0]]
    torch.testing.assert_close(matched, age, equal_nan=True)


@pytest.mark.parametrize("coupling", COUPLINGS[:4], ids=str)
def test_unlike_rows_are_refused(coupling):
    x = torch.zeros(4, 3)
    with pytest.raises(InputError, match=r"\(3,\).*\(2,\)"):
        coupling(x, torch.zeros(4, 2))
    with pytest.raises(InputError, match="'label' has 3 rows, wanted 4"):
        coupling(x, x, {"label": torch.zeros(3)})
    with pytest.raises(InputError, match="at least one row"):
        coupling(torch.zeros(0, 3), x)
    if isinstance(coupling, MinibatchOT):
        with pytest.raises(InputError, match="non-finite"):
            coupling(x, torch.full((4, 3), torch.nan))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "exakt"}, "no method 'exakt'"),
        ({"method": "entropic"}, "positive epsilon"),
        ({"method": "entropic", "epsilon": 0.0}, "positive epsilon"),
        ({"epsilon": 0.1}, "no effect"),
        ({"condition_weight": -1.0}, "zero or positive"),
        ({"condition_weight": math.nan}, "zero or positive"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(InputError, match=message):
        MinibatchOT(**options)


def test_conditions_that_cannot_be_used():
    x = torch.zeros(4, 3)
    with pytest.raises(InputError, match="needs a condition"):
        MinibatchOT(condition_weight=1.0)(x, x)
    with pytest.raises(InputError, match="'age' is continuous"):
        MinibatchOT(condition_weight=math.inf)(x, x, {"age": torch.zeros(4)})
