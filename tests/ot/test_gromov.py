"""Gromov-Wasserstein plans: POT's, isometries undone, factorised distances, and cells measured twice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import shortest_path

import ot as pot
from pushforward.errors import ConvergenceWarning, InputError
from pushforward.ot.gromov import SquaredDistances, gromov_wasserstein
from pushforward.recipes.data import data_folder

CELLS = (data_folder() or Path("/nonexistent")) / "cell_multiomics"


def cloud(n, d=2, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights(n, seed=0):
    a = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    return a / a.sum()


def distances(x):
    return torch.cdist(x, x)


@pytest.mark.parametrize("alpha", [None, 0.3])
def test_plan_is_pots(alpha):
    x, y, a, b = cloud(20), 1.5 * cloud(15, 3, seed=1), weights(20), weights(15, seed=1)
    Cx, Cy, M = distances(x), distances(y), torch.cdist(x[:, :1], y[:, :1]).square()
    ours = gromov_wasserstein(
        Cx, Cy, a, b, epsilon=1.0, features=M if alpha else None, alpha=alpha, tolerance=1e-8, rounds=2000
    )
    arrays = [t.numpy() for t in (M, Cx, Cy, a, b)]
    options = {"epsilon": 1.0, "max_iter": 5000, "tol": 1e-11, "solver": "PGD"}
    if alpha:
        theirs = pot.gromov.entropic_fused_gromov_wasserstein(*arrays, alpha=alpha, **options)
    else:
        theirs = pot.gromov.entropic_gromov_wasserstein(*arrays[1:], loss_fun="square_loss", **options)
    P = ours.plan.to_dense()
    torch.testing.assert_close(P, torch.from_numpy(theirs), atol=1e-6, rtol=0)
    gap = (Cx[:, None, :, None] - Cy[None, :, None, :]).square()
    distortion = torch.einsum("ijkl,ij,kl->", gap, P, P)
    value = distortion if alpha is None else (1 - alpha) * (P * M).sum() + alpha * distortion
    torch.testing.assert_close(ours.value, value, atol=1e-6, rtol=0)
    entropy = torch.special.xlogy(P, P / (a[:, None] * b)).sum()
    torch.testing.assert_close(ours.objective, value + entropy, atol=1e-6, rtol=0)


def test_isometric_clouds_are_matched_and_the_objective_falls():
    """A shuffled cloud, turned into three dimensions: the plan is the permutation, up to its blur."""
    x = cloud(60) * torch.tensor([2.0, 1.0]).double()
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    y = (x @ torch.linalg.qr(cloud(3)).Q.T)[order] + 5
    plan = gromov_wasserstein(distances(x), distances(y), epsilon=0.02)
    assert plan.converged and torch.equal(plan.plan.to_dense().argmax(0), order)
    assert plan.value < 0.01 < plan.history[0]
    assert max(later - earlier for earlier, later in zip(plan.history, plan.history[1:], strict=False)) < 1e-6
    assert (plan.barycentric_map(y) - y[order.argsort()]).norm(dim=1).median() < 0.01


def test_steps_are_shortened_where_the_linear_model_misleads():
    """For matrices that are no distances the objective need not be concave: full steps would oscillate."""
    C = torch.rand(2, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    Cx, Cy = 8 * (C + C.mT)
    plan = gromov_wasserstein(-Cx, Cy, epsilon=0.5)
    assert plan.converged and plan.iterations > len(plan.history) - 1  # some steps were refused
    assert max(later - earlier for earlier, later in zip(plan.history, plan.history[1:], strict=False)) < 1e-3


def test_factorised_distances_are_the_matrix():
    x, y = cloud(30) + 100, cloud(25, 3, seed=1)
    dense = [torch.cdist(points, points).square() for points in (x, y)]
    factorised = [SquaredDistances(points) for points in (x, y)]
    V, a = cloud(30, 4, seed=2), weights(30)
    torch.testing.assert_close(factorised[0] @ V, dense[0] @ V, atol=1e-9, rtol=0)
    torch.testing.assert_close(factorised[0].mean_square(a), dense[0].square() @ a, atol=1e-9, rtol=0)
    plans = [gromov_wasserstein(*pair, epsilon=5.0, tolerance=1e-6) for pair in (dense, factorised)]
    torch.testing.assert_close(plans[0].plan.to_dense(), plans[1].plan.to_dense(), atol=1e-7, rtol=0)


def test_features_alone_are_ordinary_transport_and_structure_alone_ignores_them():
    x, y, M = cloud(10), cloud(12, seed=1), cloud(10, 12, seed=2)
    C = distances(x), distances(y)
    free = gromov_wasserstein(*C, epsilon=0.5, features=M, alpha=0.0, tolerance=1e-7).plan.to_dense()
    theirs = pot.sinkhorn(np.full(10, 0.1), np.full(12, 1 / 12), M.numpy(), 0.5, stopThr=1e-12)
    torch.testing.assert_close(free, torch.from_numpy(theirs), atol=1e-7, rtol=0)
    alone = gromov_wasserstein(*C, epsilon=3.0, tolerance=1e-7)
    fused = gromov_wasserstein(*C, epsilon=3.0, features=M, alpha=1.0, tolerance=1e-7)
    torch.testing.assert_close(alone.plan.to_dense(), fused.plan.to_dense(), atol=1e-7, rtol=0)


def test_more_starts_are_never_worse_and_a_seed_repeats():
    C = distances(cloud(12)), distances(cloud(12, seed=1))
    seeds = [torch.Generator().manual_seed(0) for _ in range(3)]
    found = [
        gromov_wasserstein(*C, epsilon=0.05, starts=starts, generator=g)
        for starts, g in zip((1, 3, 3), seeds, strict=True)
    ]
    assert found[1].objective <= found[0].objective and torch.equal(found[1].objective, found[2].objective)


def test_too_few_rounds_warn():
    with pytest.warns(ConvergenceWarning, match=r"gromov_wasserstein stopped after 2 rounds with a step of"):
        plan = gromov_wasserstein(distances(cloud(20)), distances(cloud(20, seed=1)), epsilon=0.1, rounds=2)
    assert not plan.converged


@pytest.mark.parametrize(
    "change, message",
    [
        ({"Cx": torch.zeros(3, 4)}, r"Cx must be a floating matrix \(n, n\)"),
        ({"Cy": torch.arange(9.0).reshape(3, 3)}, "Cy is not symmetric"),
        ({"features": torch.zeros(2, 3)}, r"features has shape \(2, 3\), wanted \(3, 3\)"),
        ({"alpha": 0.5}, "alpha weighs"),
        ({"epsilon": 0.0}, "epsilon must be positive"),
        ({"Cx": torch.ones(3, 3).double()}, "of one dtype"),
        ({"a": torch.ones(3)}, "a sums to 3, wanted 1"),
        ({"starts": 0}, "starts must be at least 1"),
    ],
)
def test_mistakes_are_named(change, message):
    good = {"Cx": torch.ones(3, 3), "Cy": torch.ones(3, 3), "epsilon": 1.0}
    with pytest.raises(InputError, match=message):
        gromov_wasserstein(**(good | change))


def neighbour_distances(x, neighbours):
    """Lengths of shortest paths in the graph of nearest neighbours by correlation, scaled to at most one."""
    correlation = 1 - np.corrcoef(x)
    nearest = np.argsort(correlation, 1)[:, 1 : neighbours + 1]
    edges = np.zeros_like(correlation)
    np.put_along_axis(edges, nearest, 1.0, 1)
    found = shortest_path(np.maximum(edges, edges.T), directed=False, unweighted=True)
    return torch.from_numpy(found / found.max())


@pytest.mark.slow
@pytest.mark.skipif(not CELLS.is_dir(), reason="PUSHFORWARD_DATA has no cell_multiomics")
def test_cells_measured_twice_are_found_again():
    """SNARE-seq: chromatin and expression of the same 1,047 cells. SCOT (Demetci et al. 2022) reports 0.15."""
    x, y = (np.load(CELLS / f"SNAREseq_{kind}_feat.npy").astype(float) for kind in ("atac", "rna"))
    x, y = (points / np.linalg.norm(points, axis=1, keepdims=True) for points in (x, y))
    plan = gromov_wasserstein(neighbour_distances(x, 110), neighbour_distances(y, 110), epsilon=1e-3, tolerance=1e-2)
    far = torch.cdist(plan.barycentric_map(torch.from_numpy(y)), torch.from_numpy(y))
    true = far.diagonal()
    closer = ((far < true[:, None]).double().mean() + (far < true).double().mean()) / 2  # FOSCTTM
    assert closer < 0.2
