"""PeRFlow's pairs against the exact flow, the minimiser they have, and what a flow becomes that is trained on them."""

import itertools
from dataclasses import dataclass

import pytest
import torch

import pushforward as pf
from pushforward.cli import main
from pushforward.configuration import build, describe
from pushforward.contracts import Path
from pushforward.couplings import MinibatchOT
from pushforward.errors import InputError
from pushforward.maps import InWindows, WindowedReflow
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import MLP, DiT, Field, Residual, UNet
from pushforward.objectives import FlowMatching
from pushforward.paths import VP, Affine, Windows
from pushforward.solvers import SDE, FixedStep, Piecewise
from pushforward.training import Trainer

EDGES = (0.0, 0.3, 0.6, 1.0)
MEAN, DEVIATION = torch.tensor([2.0, -1.0]), torch.tensor([0.3, 2.0])
TARGET = Gaussian(MEAN, torch.diag(DEVIATION.square()))
SHORT = Trainer(steps=4, batch_size=16, warmup=0, decay="constant", checkpoint_every=2)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@dataclass
class Exact:
    """The flow from N(0, I) to the target, and its path: a teacher without errors."""

    oracle: AffineOracle
    path: Path

    def velocity(self, x, t, condition=None):
        return self.oracle.velocity(x, t)

    def score(self, x, t, condition=None):
        return self.oracle.score(x, t)


@dataclass
class Taught:
    """As much of the sides of a fit as the coupling looks at."""

    teacher: object


def coupling(path=None, **options):
    path = path or Affine()
    oracle = AffineOracle(Gaussian.standard(2), TARGET, path.schedule)
    pairs = WindowedReflow(EDGES, solver=FixedStep("dpm++2m", 40), **options)
    return oracle, pairs.prepared(Taught(Exact(oracle, path)), generator=rng())


def draw(pairs, rows, generator):
    x0 = torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    x1 = MEAN + DEVIATION * torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    return pairs(x0, x1, gaussian_source=True, generator=generator)


@pytest.mark.parametrize("path", [Affine(), Affine(VP())], ids=["linear", "vp"])
def test_pairs_are_those_of_the_flow_in_each_window(path):
    """x_s has the law of the path at s, x_e is where the exact flow carries it, and windows come equally often."""
    oracle, windowed = coupling(path)
    pairs = draw(windowed, 9_000, rng(1))
    assert not pairs.gaussian_source
    for s, e in itertools.pairwise(EDGES):
        rows = (pairs.s - s).abs() < 1e-6
        assert int(rows.sum()) == 3_000 and torch.allclose(pairs.e[rows], torch.tensor(e, dtype=torch.float64))
        law = path.schedule(torch.tensor(s, dtype=torch.float64))
        spread = (law.alpha**2 * DEVIATION.square() + law.sigma**2).sqrt()
        begin = (pairs.x0[rows] - law.alpha * MEAN) / spread
        assert begin.mean(0).abs().max() < 0.08 and (begin.std(0) - 1).abs().max() < 0.06
        latest = min(e, path.interval[1])
        torch.testing.assert_close(pairs.x1[rows], oracle.flow_map(pairs.x0[rows], s, latest), rtol=1e-2, atol=1e-2)


def truth(x, t):
    """The slope of the chord of the exact flow through `(x, t)`, window by window."""
    edges = torch.tensor(EDGES, dtype=x.dtype)
    number = (t[:, None] >= edges[1:-1]).sum(1)
    s, e = edges[number][:, None], edges[number + 1][:, None]
    deviation = lambda at: ((1 - at) ** 2 + at**2 * DEVIATION.square()).sqrt()  # noqa: E731
    stretch, u = deviation(e) / deviation(s), (t[:, None] - s) / (e - s)
    begin = (x - u * (e * MEAN - stretch * s * MEAN)) / (1 - u + u * stretch)
    return (e * MEAN + stretch * (begin - s * MEAN) - begin) / (e - s)


class Known(torch.nn.Module):
    """A network that computes a function of state and time."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, t, condition=None):
        return self.function(x, t)


def test_its_minimiser_is_the_chord_in_each_window():
    """The state tells its whole line, so that nothing is left of the loss; of the teacher's velocity much is."""
    oracle, pairs = coupling()
    batch = draw(pairs, 3000, rng(2))

    def loss(function):
        field = Field(Known(function), Windows(Affine(), EDGES), (2,), {})
        return float(FlowMatching()(field, batch, field.path, generator=rng(3)).total)

    assert loss(truth) < 1e-5 < 1e-2 < loss(lambda x, t: oracle.velocity(x, t))


LABEL = torch.arange(60) % 3
FLOWS = {
    "plain": ((2,), {"network": MLP(width=16)}),
    "conditional": ((2,), {"network": MLP(width=16), "condition": LABEL}),
    "preconditioned": ((2,), {"network": MLP(width=16), "path": Affine(data_std=1.0)}),
    "data on vp": ((2,), {"network": MLP(width=16), "path": Affine(VP()), "predicts": "data"}),
    "unet": ((1, 8, 8), {"network": UNet(channels=8, multipliers=(1, 2)), "condition": LABEL}),
    "dit": ((1, 8, 8), {"network": DiT(width=32, depth=1)}),
}


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_moves_points_as_before_when_it_is_told_windows(name):
    shape, pieces = FLOWS[name]
    x = torch.randn(60, *shape, generator=rng())
    trainer = Trainer(steps=3, batch_size=16, warmup=0, learning_rate=1e-2, ema=0)
    flow = pf.fit("gaussian", x, trainer=trainer, normalise="none", **pieces)
    told, t = InWindows(EDGES).adapted(flow.field), torch.linspace(0, 0.99, 60)
    rows = {"condition": LABEL} if "condition" in pieces else None
    raw = [field(x, t, rows).detach() for field in (flow.field, told)]
    assert raw[0].abs().max() > 1e-3 and torch.allclose(*raw, atol=1e-6)
    assert told.boundaries == EDGES[1:-1]
    torch.nn.init.normal_([w for n, w in told.named_parameters() if n.endswith("table.weight")][-1])
    there = [told(x, torch.full_like(t, time), rows).detach() for time in (0.3 - 1e-7, 0.3)]
    assert (there[0] - there[1]).abs().max() > 1e-3  # at an edge it may jump


@pytest.fixture(scope="module")
def flow():
    trainer = Trainer(steps=400, batch_size=256, learning_rate=5e-3, ema=0)
    return pf.fit("gaussian", TARGET, network=MLP(width=32), normalise="none", trainer=trainer)


def perflow(flow, steps=300, **options):
    trainer = Trainer(steps=steps, batch_size=256, learning_rate=2e-3, ema=0)
    pieces = {"adapter": InWindows(EDGES), "coupling": WindowedReflow(EDGES), "trainer": trainer} | options
    return pf.fit("gaussian", TARGET, init=flow, solver=FixedStep("euler", 3, Piecewise(EDGES)), **pieces)


def test_one_step_a_window_is_nearly_the_flow(flow):
    student, x = perflow(flow), torch.randn(2000, 2, generator=rng())
    exact = flow.push(x, tolerance=1e-6)

    def error(moved):
        return float((moved - exact).square().sum(1).mean().sqrt())

    assert error(student.push(x)) < 0.75 * error(flow.push(x, steps=3, method="euler"))
    assert student.solve(x).evaluations == 3
    assert error(student.pull(student.push(x, tolerance=1e-5), tolerance=1e-5) - x + exact) < 1e-3


def test_a_grid_that_leaves_out_an_edge_is_refused(flow):
    student, x = perflow(flow, steps=1), torch.zeros(3, 2)
    with pytest.raises(InputError, match=r"lacks the node 0\.3"):
        student.push(x, grid=[0.0, 0.5, 1.0])
    with pytest.raises(InputError, match="cannot cover 3 windows"):
        student.push(x, steps=2)
    assert student.push(x, steps=7).isfinite().all()
    assert Piecewise(EDGES)(4).nodes.tolist() == [0.0, 0.15, 0.3, 0.6, 1.0]  # the first windows take what is left


def test_saves_and_resumes(flow, tmp_path):
    whole = perflow(flow, trainer=SHORT, out=tmp_path / "whole")
    half = Trainer(steps=2, batch_size=16, warmup=0, decay="constant", checkpoint_every=2)
    perflow(flow, trainer=half, out=tmp_path / "parts")
    perflow(flow, trainer=SHORT, out=tmp_path / "parts", resume=True)
    again, x = pf.load(tmp_path / "parts"), torch.randn(5, 2, generator=rng())
    assert torch.equal(again.push(x), whole.push(x)) and again.field.path == Windows(Affine(), EDGES)
    piece = WindowedReflow(EDGES, base=MinibatchOT())
    assert build(describe(piece)) == piece and not piece.rowwise and WindowedReflow().rowwise


def test_from_the_command_line(tmp_path):
    first, out = str(tmp_path / "teacher"), str(tmp_path / "run")
    words = ["fit", "gaussian", "moons-torchdyn", "--trainer.steps", "2"]
    assert main([*words, "--network", "MLP", "--network.width", "8", "--out", first]) == 0
    pieces = ["--adapter", "InWindows", "--coupling", "WindowedReflow", "--coupling.guidance", "1.0"]
    assert main([*words, "--init", first, "--out", out, *pieces]) == 0
    assert pf.load(out).push(torch.zeros(2, 2), steps=4, method="euler").shape == (2, 2)


def test_what_does_not_fit_says_so(flow):
    with pytest.raises(InputError, match="deterministic solver"):
        WindowedReflow(solver=SDE())
    with pytest.raises(InputError, match="edges must increase"):
        InWindows((0.0, 1.0, 0.5))
    with pytest.raises(InputError, match="no flow yet"):
        WindowedReflow()(torch.zeros(2, 2), torch.ones(2, 2))
    with pytest.raises(InputError, match="trained already"):
        pf.fit("gaussian", TARGET, coupling=WindowedReflow(), trainer=SHORT)
    corrected = pf.fit("gaussian", TARGET, init=flow, adapter=Residual(), trainer=SHORT)
    with pytest.raises(InputError, match="is a module"):
        perflow(corrected)
