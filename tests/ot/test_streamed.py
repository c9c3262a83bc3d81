"""Streamed soft transforms against the sums written out, at every tile size and any epsilon."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.ot.entropic import streamed
from pushforward.ot.entropic.streamed import StreamedTransform
from pushforward.ot.problem import pose


def clouds(n, m, d=3, batch=(), dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(*batch, n, d, generator=g, dtype=torch.float64)
    y = 0.5 * torch.randn(*batch, m, d, generator=g, dtype=torch.float64) + 1
    a, b = torch.rand(*batch, n, generator=g).double(), torch.rand(*batch, m, generator=g).double()
    a, b = a / a.sum(-1, keepdim=True), b / b.sum(-1, keepdim=True)
    return [t.to(dtype) for t in (x, y, a, b)]


def written_out(problem, epsilon, f=None, g=None):
    """The conjugate of one potential, from the whole matrix."""
    cost = problem.dense()
    if g is not None:
        return -epsilon * torch.logsumexp((g.unsqueeze(-2) - cost) / epsilon + problem.b.log().unsqueeze(-2), -1)
    return -epsilon * torch.logsumexp((f.unsqueeze(-1) - cost) / epsilon + problem.a.log().unsqueeze(-1), -2)


class Largest(TorchDispatchMode):
    """Entries of the largest tensor that any operation made."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.entries = max([self.entries, *(t.numel() for t in tree_leaves(out) if isinstance(t, torch.Tensor))])
        return out


@pytest.mark.parametrize("block", [1, 50, None])
@pytest.mark.parametrize("cost", [SquaredEuclidean(), PNorm(1), PNorm(2, 0.5), "matrix"])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_conjugates_are_the_sums_written_out(cost, block, batch):
    x, y, a, b = clouds(23, 17, batch=batch)
    if cost == "matrix":
        cost = torch.cdist(x, y)
    problem = pose(x, y, a, b, cost)
    transform = StreamedTransform(problem, 0.1, block=block)
    g = torch.zeros_like(b)
    for _ in range(3):
        f = transform.rows(g)
        torch.testing.assert_close(f, written_out(problem, 0.1, g=g), rtol=1e-12, atol=1e-12)
        g = transform.columns(f)
        torch.testing.assert_close(g, written_out(problem, 0.1, f=f), rtol=1e-12, atol=1e-12)


def test_many_tiles_either_way():
    x, y, a, b = clouds(700, 2600)
    problem = pose(x, y, a, b, SquaredEuclidean())
    transform, g = StreamedTransform(problem, 0.05, block=1 << 14), torch.zeros(2600, dtype=torch.float64)
    for _ in range(2):
        f = transform.rows(g)
        torch.testing.assert_close(f, written_out(problem, 0.05, g=g), rtol=1e-12, atol=1e-12)
        g = transform.columns(f)
        torch.testing.assert_close(g, written_out(problem, 0.05, f=f), rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 60), st.floats(-5, 3), st.integers(0, 1000),
    st.lists(st.floats(0, 4), min_size=2, max_size=4),
)  # fmt: skip
def test_any_sequence_of_potentials_is_safe(n, m, block, exponent, seed, sizes):
    """The remembered shift never shows, however far the potentials jump and however small epsilon is."""
    x, y, a, b = clouds(n, m, seed=seed)
    problem, epsilon = pose(x, y, a, b, SquaredEuclidean()), 10.0**exponent
    transform = StreamedTransform(problem, epsilon, block=block)
    for k, size in enumerate(sizes):
        g = 10**size * epsilon * torch.randn(m, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        scale = 1e-11 * (1 + float(g.abs().max()))
        torch.testing.assert_close(transform.rows(g), written_out(problem, epsilon, g=g), rtol=0, atol=scale)
        transform = transform.at(epsilon * (1 + k))
        epsilon = epsilon * (1 + k)


def test_only_rows_that_moved_far_are_done_again(monkeypatch):
    """One far target lures one source: its row alone pays for the pass that finds the largest exponent."""
    x, y, a, b = clouds(40, 30)
    x[7], y[3] = 30.0, 30.0
    problem = pose(x, y, a, b, SquaredEuclidean())
    transform, g = StreamedTransform(problem, 0.1), torch.zeros(30, dtype=torch.float64)
    transform.rows(g)
    passes, fold = [], streamed.fold
    monkeypatch.setattr(streamed, "fold", lambda *args: passes.append(args[3:]) or fold(*args))
    transform.rows(g)
    assert passes == [()]
    g[3] = -60.0
    torch.testing.assert_close(transform.rows(g), written_out(problem, 0.1, g=g), rtol=1e-11, atol=1e-11)
    assert passes[1] == () and [rows.tolist() for (rows,) in passes[2:]] == [[7], [7]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_without_mass_do_not_count_and_get_conjugates(dtype):
    x, y, a, b = clouds(20, 15, dtype=dtype)
    a[:4], b[10:] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    whole = StreamedTransform(pose(x, y, a, b, SquaredEuclidean()), 0.2)
    part = StreamedTransform(pose(x, y[:10], a, b[:10], SquaredEuclidean()), 0.2)
    g = torch.linspace(-1, 1, 15, dtype=dtype)
    g[12] = 1e3  # must not count either
    for _ in range(2):
        f = whole.rows(g)
        torch.testing.assert_close(f, part.rows(g[:10]))
        assert f.isfinite().all() and whole.columns(f).isfinite().all() and f.dtype == dtype


def test_float32_is_as_good_as_its_costs():
    """Errors are the machine epsilon times the squared spread, also far from the origin and at small epsilon."""
    x, y, a, b = clouds(300, 200)
    x, y = (x + 50).float(), (y + 50).float()
    exact = pose(x.double(), y.double(), a, b, SquaredEuclidean())
    transform, g = StreamedTransform(pose(x, y, a, b, SquaredEuclidean()), 0.01), torch.zeros(200)
    for _ in range(4):
        f = transform.rows(g)
        torch.testing.assert_close(f.double(), written_out(exact, 0.01, g=g.double()), rtol=0, atol=2e-5)
        g = transform.columns(f)
        torch.testing.assert_close(g.double(), written_out(exact, 0.01, f=f.double()), rtol=0, atol=2e-5)


@pytest.mark.parametrize("shift", [0.0, 1e4])
@pytest.mark.parametrize("epsilon", [1.0, 0.01])
def test_single_precision_tiles_are_right_to_their_resolution(shift, epsilon):
    """Potentials stay in double precision, and a distance between the clouds costs no digits."""
    x, y, a, b = clouds(300, 200)
    problem = pose(x, y + shift, a, b, SquaredEuclidean())
    cost = (x[:, None] - y - shift).square().sum(-1)
    transform = StreamedTransform(problem, epsilon, torch.float32)
    g = StreamedTransform(problem, epsilon).columns(torch.zeros(300, dtype=torch.float64))
    for _ in range(3):
        f = transform.rows(g)
        error = ((-epsilon * torch.logsumexp((g - cost) / epsilon + b.log(), 1)) - f).abs().max() / epsilon
        assert f.dtype == torch.float64 and error < 2 * transform.resolution < 1e-3
        g = transform.columns(f)


@pytest.mark.parametrize("cost", [SquaredEuclidean(), PNorm(1)])
def test_no_tolerance_above_the_resolution_is_out_of_reach(cost):
    """Sweeps in single precision reach marginals right to the resolution, by the measure of double precision."""
    x, y, _, _ = clouds(200, 150)
    problem = pose(x, y, None, None, cost)
    single, double = StreamedTransform(problem, 0.2, torch.float32), StreamedTransform(problem, 0.2)
    g = torch.zeros(150, dtype=torch.float64)
    for _ in range(150):
        g = single.columns(single.rows(g))
    columns = problem.b * ((g - double.columns(double.rows(g))) / 0.2).exp()
    assert 1e-9 < float((columns - problem.b).abs().sum()) < single.resolution < 1e-4


def test_recovers_from_potentials_that_are_not_finite():
    x, y, a, b = clouds(20, 15)
    problem = pose(x, y, a, b, SquaredEuclidean())
    transform, g = StreamedTransform(problem, 0.1), torch.zeros(15, dtype=torch.float64)
    transform.rows(g)
    assert transform.rows(g / 0).isnan().all()
    torch.testing.assert_close(transform.rows(g), written_out(problem, 0.1, g=g))


@pytest.mark.parametrize("cost", [SquaredEuclidean(), PNorm(2)])
def test_nothing_larger_than_a_tile_is_ever_made(cost):
    n, m, block = 600, 500, 1 << 12
    x, y, _, _ = clouds(n, m, dtype=torch.float32)
    transform, g = StreamedTransform(pose(x, y, None, None, cost), 0.1, block=block), torch.zeros(m)
    with Largest() as largest:
        for _ in range(2):
            g = transform.columns(transform.rows(g))
    assert largest.entries <= max(block, 6 * n)  # the augmented points are (n, d + 2)


def test_follows_no_gradient():
    x, y, a, b = clouds(10, 8)
    transform = StreamedTransform(pose(x.requires_grad_(), y, a.requires_grad_(), b, SquaredEuclidean()), 0.1)
    assert not transform.rows(torch.zeros(8, dtype=torch.float64, requires_grad=True)).requires_grad


def test_textbook_sweeps_converge_to_the_gaussian_plan():
    """1-D Gaussians: the plan's slope is (D - s) / 2A, with s = epsilon / 2 and D = sqrt(4AB + s^2)."""
    x = torch.linspace(-6, 6, 400, dtype=torch.float64)[:, None]
    a = torch.exp(-(x[:, 0] ** 2) / 2)
    b = torch.exp(-(x[:, 0] ** 2) / (2 * 0.49))
    problem = pose(x, x, a / a.sum(), b / b.sum(), SquaredEuclidean())
    transform, g = StreamedTransform(problem, 1.0, block=1 << 13), torch.zeros(400, dtype=torch.float64)
    for _ in range(100):
        f = transform.rows(g)
        g = transform.columns(f)
    plan = torch.softmax(g - problem.dense() + problem.b.log(), -1)
    middle = (x[:, 0].abs() < 1) & (x[:, 0].abs() > 0.1)
    slope = (plan @ x)[middle, 0] / x[middle, 0]
    torch.testing.assert_close(slope, torch.full_like(slope, (math.sqrt(4 * 0.49 + 0.25) - 0.5) / 2), atol=1e-6, rtol=0)
