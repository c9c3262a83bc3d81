"""Segments of trajectories: pairs inside a path, what is learnt on them, and their way through `fit`."""

import itertools

import pytest
import torch

import pushforward as pf
from pushforward.cli.main import main
from pushforward.configuration import build, describe
from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.maps import TrajectoryPairs
from pushforward.measures import Empirical
from pushforward.networks import MLP, Field
from pushforward.objectives import Discrete, SegmentMatching
from pushforward.paths import VP, Affine, Segments
from pushforward.solvers import SDE, Explicit, FixedStep
from pushforward.training import FramedSides, Trainer

NODES = (0.0, 0.2, 0.7, 1.0)
LABEL = torch.arange(200) % 2
X1 = 5 + 2 * torch.randn(200, 2, generator=torch.Generator().manual_seed(1)) * (1 + LABEL[:, None])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", params=[None, Affine(VP())], ids=["straight", "vp"])
def flow(request):
    trainer = Trainer(steps=30, batch_size=64, warmup=0, learning_rate=1e-2, ema=0)
    return pf.fit("gaussian", X1, condition=LABEL, path=request.param, network=MLP(width=16, depth=2), trainer=trainer)


def sides_of(flow):
    return FramedSides((flow.source, Empirical(X1, LABEL)), flow.frames, flow.field)


@pytest.mark.parametrize("pool", [30, None])
def test_segments_follow_the_flow(flow, pool):
    fine = FixedStep("rk4", 8)
    coupling = TrajectoryPairs(Explicit(NODES), solver=fine, pool=pool).prepared(sides_of(flow), generator=rng())
    sides = sides_of(flow)
    x0, (x1, condition) = sides.source(40, generator=rng(1)), sides.target(40, generator=rng(2))
    pairs = coupling(x0, x1, condition, gaussian_source=True, generator=rng(3))
    assert len(pairs) == 40 and not pairs.gaussian_source
    assert {round(float(s), 3) for s in pairs.s} == {0.0, 0.2, 0.7}
    for s, e in itertools.pairwise(NODES):
        rows = (pairs.s - s).abs() < 1e-6
        assert torch.allclose(pairs.e[rows], torch.tensor(e))
        told = {"condition": pairs.condition["condition"][rows]}
        on = fine.solve(flow.field, pairs.x0[rows], condition=told, start=s, end=e).x
        torch.testing.assert_close(on, pairs.x1[rows], atol=2e-3, rtol=2e-3)
    if pool is None:
        assert torch.equal(pairs.condition["condition"], condition["condition"])


def test_the_minimiser_is_the_step_to_the_next_node():
    """A network that already takes these steps has no loss at the starts, and the right velocity elsewhere too."""
    x0, x1 = torch.randn(6, 2, generator=rng()), torch.randn(6, 2, generator=rng(1))
    s, e = torch.linspace(0, 0.5, 6), torch.linspace(0.6, 1, 6)
    pairs, slope = Pairs(x0, x1, s=s, e=e), (x1 - x0) / (e - s)[:, None]

    class Known(torch.nn.Module):
        def forward(self, x, t, condition=None):
            self.seen = x, t
            return slope

    field = Field(Known(), Affine(), (2,), {})
    loss = SegmentMatching(Discrete(1))(field, pairs, field.path, generator=rng())
    assert (
        float(loss.total) < 1e-12 and torch.equal(field.network.seen[1], s) and torch.equal(field.network.seen[0], x0)
    )
    loss = SegmentMatching()(field, pairs, field.path, generator=rng())
    x, t = field.network.seen
    assert float(loss.total) < 1e-12 and ((t >= s) & (t <= e)).all()
    torch.testing.assert_close(x, x0 + (t - s)[:, None] * slope)


def test_masks_hold_in_a_segment():
    mask = torch.tensor([[True, False]])
    u = torch.tensor([0.5])
    pairs = Pairs(torch.zeros(1, 2), torch.ones(1, 2), mask=mask, s=torch.tensor([0.5]), e=torch.tensor([1.0]))
    point = Segments().point(pairs, Times(u, u, u))
    assert point.t.tolist() == [0.75] and point.x.tolist() == [[0.5, 1.0]] and point.v.tolist() == [[2.0, 0.0]]


def test_refinement_saves_resumes_and_carries_its_grid(flow, tmp_path):
    grid = Explicit(NODES)

    def train(out, steps, resume=False):
        trainer = Trainer(steps=steps, batch_size=16, warmup=0, decay="constant", checkpoint_every=2)
        return pf.fit(
            "gaussian", X1, condition=LABEL, init=flow, coupling=TrajectoryPairs(grid, pool=20),
            objective=SegmentMatching(Discrete(1)), solver=FixedStep("euler", grid=grid), trainer=trainer, out=out,
            resume=resume,
        )  # fmt: skip

    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 2)
    train(tmp_path / "parts", 4, resume=True)
    again, x = pf.load(tmp_path / "parts"), torch.randn(5, 2, generator=rng())
    torch.testing.assert_close(again.push(x, LABEL[:5]), whole.push(x, LABEL[:5]), rtol=0, atol=0)
    assert again.solver == FixedStep("euler", grid=grid) and again.solve(x, LABEL[:5]).evaluations == 3
    assert "nguyen2023bellman" in pf.cite(TrajectoryPairs(grid)) and build(
        describe(TrajectoryPairs(grid))
    ) == TrajectoryPairs(grid)


def test_from_the_command_line(tmp_path):
    first, out = str(tmp_path / "teacher"), str(tmp_path / "run")
    small = ["--trainer.steps", "2", "--network", "MLP", "--network.width", "8"]
    assert main(["fit", "gaussian", "moons-torchdyn", "--out", first, *small]) == 0
    pairs = ["--coupling", "TrajectoryPairs", "--coupling.steps", "3", "--coupling.pool", "9"]
    objective = ["--objective", "SegmentMatching", "--objective.time", "Discrete", "--objective.time.k", "1"]
    words = ["fit", "gaussian", "moons-torchdyn", "--init", first, "--out", out, "--trainer.steps", "2"]
    assert main([*words, *pairs, *objective]) == 0
    assert pf.load(out).push(torch.zeros(2, 2)).shape == (2, 2)


def test_what_does_not_fit_says_so(flow):
    with pytest.raises(InputError, match="deterministic solver"):
        TrajectoryPairs(solver=SDE(), steps=2)
    with pytest.raises(InputError, match="at least one trajectory"):
        TrajectoryPairs(steps=2, pool=0)
    with pytest.raises(InputError, match="steps must be"):
        TrajectoryPairs()
    with pytest.raises(InputError, match="no flow yet"):
        TrajectoryPairs(steps=2)(X1, X1)
    with pytest.raises(InputError, match="trained already"):
        pf.fit("gaussian", X1, coupling=TrajectoryPairs(steps=2), trainer=Trainer(steps=1))
    with pytest.raises(InputError, match="no segment ends"):
        pf.fit("gaussian", X1, objective=SegmentMatching(), trainer=Trainer(steps=1))
    with pytest.raises(InputError, match="velocity only"):
        pf.fit(
            "gaussian", X1, predicts="data", condition=LABEL, teacher=flow, coupling=TrajectoryPairs(steps=2, pool=9),
            objective=SegmentMatching(), trainer=Trainer(steps=1),
        )  # fmt: skip
