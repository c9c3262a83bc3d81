"""Sliced transport against closed forms, POT and the one-dimensional cost."""

import math

import pytest
import torch

import ot as pot
from pushforward.errors import InputError
from pushforward.ot.exact.one_dimensional import wasserstein_1d
from pushforward.ot.sliced import sliced_wasserstein

F64 = torch.float64


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def clouds(n=20, m=31, d=3):
    g = seeded(0)
    x, y = torch.randn(n, d, generator=g, dtype=F64), 2 * torch.randn(m, d, generator=g, dtype=F64) + 1
    a, b = torch.rand(n, generator=g, dtype=F64), torch.rand(m, generator=g, dtype=F64)
    return x, y, a / a.sum(), b / b.sum()


def test_translation_gives_its_square_over_the_dimension():
    x, _, a, _ = clouds()
    v = torch.tensor([1.0, -2.0, 2.0], dtype=F64)
    for weights in (None, a):
        sliced = sliced_wasserstein(x, x + v, weights, weights, directions=20_000, generator=seeded(1))
        assert sliced.item() == pytest.approx(9 / 3, rel=0.02)


def test_translation_is_steepest_along_itself():
    x, v = clouds()[0], torch.tensor([1.0, -2.0, 2.0], dtype=F64)
    best = sliced_wasserstein(x, x + v, directions=10, mode="max", generator=seeded(1))
    assert 9 * (1 - 1e-3) <= best.item() <= 9 * (1 + 1e-12)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_is_pots(p, weighted):
    x, y, a, b = clouds()
    theta = torch.randn(3, 64, generator=seeded(2), dtype=F64)
    theta = theta / theta.norm(dim=0)
    weights = (a, b) if weighted else (None, None)
    theirs = pot.sliced_wasserstein_distance(x, y, *weights, n_projections=64, p=p, projections=theta)
    ours = sliced_wasserstein(x, y, *weights, p=p, directions=64, generator=seeded(2))
    assert ours.item() == pytest.approx(theirs.item() ** p, rel=1e-9)
    costs = wasserstein_1d(x @ theta, y @ theta, *weights, p)
    leaning = sliced_wasserstein(x, y, *weights, p=p, directions=64, mode="importance", generator=seeded(2))
    assert leaning.item() == pytest.approx((costs.exp() * costs).sum().item() / costs.exp().sum().item(), rel=1e-12)


def test_modes_are_ordered():
    """Softmax weights grow with the cost, and the largest direction is only ever improved."""
    x, y, a, b = clouds()
    of = lambda mode: sliced_wasserstein(x, y, a, b, mode=mode, directions=32, generator=seeded(3)).item()  # noqa: E731
    theta = torch.randn(3, 32, generator=seeded(3), dtype=F64)
    largest = wasserstein_1d(x @ (theta / theta.norm(dim=0)), y @ (theta / theta.norm(dim=0)), a, b).max().item()
    assert of("mean") < of("importance") < largest < of("max")


def searched(x, y, a=None, b=None):
    """The largest distance along any direction of the plane, looked for on finer and finer grids."""
    low, high = 0.0, math.pi
    for _ in range(4):
        angle = torch.linspace(low, high, 2001, dtype=F64)
        along = wasserstein_1d(*(t @ torch.stack([angle.cos(), angle.sin()]) for t in (x, y)), a, b)
        low, high = (float(angle[along.argmax()]) + sign * float(angle.diff()[0]) for sign in (-1, 1))
    return along.max().item()


def test_largest_direction_in_the_plane_is_a_searched_ones():
    x, y, a, b = clouds(d=2)
    ours = sliced_wasserstein(x, y, a, b, mode="max", directions=16, generator=seeded(0)).item()
    assert ours == pytest.approx(searched(x, y, a, b), rel=1e-4)


@pytest.mark.parametrize("mode", ["mean", "importance"])
@pytest.mark.parametrize("m", [5, 7])
def test_gradients(mode, m):
    x, y, _, b = clouds(5, m, 2)
    weights = b if m == 7 else None
    run = lambda x, y: sliced_wasserstein(x, y, b=weights, mode=mode, directions=8, generator=seeded(0))  # noqa: E731
    assert torch.autograd.gradcheck(run, [x.requires_grad_(), y.requires_grad_()])


def test_gradient_along_the_largest_direction():
    """Far clouds: the maximum is then no kink, where couplings change, and its direction can be held."""
    x, y, _, b = clouds(5, 7, 2)
    run = lambda x: sliced_wasserstein(x, y + 10, b=b, mode="max", directions=8, generator=seeded(0))  # noqa: E731
    assert torch.autograd.gradcheck(run, x.requires_grad_(), rtol=1e-4)


def test_gradient_along_the_largest_direction_where_clouds_overlap():
    """There couplings change all the time; among many points each change is small."""
    g = seeded(1)
    x, y = torch.randn(500, 2, generator=g, dtype=F64), torch.randn(500, 2, generator=g, dtype=F64)
    y = y * torch.tensor([1.3, 0.8])
    largest = sliced_wasserstein(x.requires_grad_(), y, mode="max", directions=1000, generator=seeded(0))
    (gradient,) = torch.autograd.grad(largest, x)
    steps = [1e-5 * t / t.norm() for t in torch.randn(4, 500, 2, generator=g, dtype=F64)]
    with torch.no_grad():
        risen = torch.tensor([searched(x + step, y) - searched(x - step, y) for step in steps]) / 2
    expected = torch.stack([(gradient * step).sum() for step in steps])
    assert float((risen - expected).norm() / risen.norm()) < 0.05


def test_blocks_change_nothing(monkeypatch):
    x, y, a, b = clouds()
    whole = sliced_wasserstein(x, y, a, b, directions=40, generator=seeded(0))
    monkeypatch.setattr("pushforward.ot.sliced.BLOCK", 7 * 51)
    assert sliced_wasserstein(x, y, a, b, directions=40, generator=seeded(0)).item() == pytest.approx(whole.item())


def test_equal_clouds_cost_nothing_in_any_mode():
    x = clouds()[0].float()
    for mode in ("mean", "max", "importance"):
        cost = sliced_wasserstein(x, x.flip(0), mode=mode, generator=seeded(0))
        assert cost.dtype == torch.float32 and cost.item() == pytest.approx(0, abs=1e-12)


def test_refusals():
    x = torch.zeros(3, 2)
    with pytest.raises(InputError, match="directions must be at least 1"):
        sliced_wasserstein(x, x, directions=0)
    with pytest.raises(InputError, match="mode must be"):
        sliced_wasserstein(x, x, mode="least")
    with pytest.raises(InputError, match=r"wanted points \(n, d\)"):
        sliced_wasserstein(x[None], x[None])
    with pytest.raises(InputError, match="sums to 3"):
        sliced_wasserstein(x, x, torch.ones(3))
    with pytest.raises(InputError, match="b has a negative weight, first at row 1"):
        sliced_wasserstein(x, x, None, torch.tensor([1.0, -0.5, 0.5]))
    with pytest.raises(InputError, match=r"a has shape \(2,\), wanted \(3,\)"):
        sliced_wasserstein(x, x, torch.ones(2) / 2)
    for p in (0.5, math.inf, math.nan):
        with pytest.raises(InputError, match="p must be finite and at least 1"):
            sliced_wasserstein(x, x, p=p)
    with pytest.raises(InputError, match="both must agree"):
        sliced_wasserstein(x, x[:, :1])
    with pytest.raises(InputError, match="y has 1 non-finite value, first at row 2"):
        sliced_wasserstein(x, torch.tensor([[0.0, 0.0], [0.0, 0.0], [math.nan, 0.0]]))
