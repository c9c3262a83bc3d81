"""Flow maps made of a flow: by the flow's own pairs, and in stages, in the plane and in a latent space."""

import shutil

import pytest
import torch

import pushforward as pf
from pushforward.cli import main
from pushforward.distillation import ReMeanFlow, StagedMeanFlow
from pushforward.errors import InputError
from pushforward.maps import SelfGenerated, TrajectoryPairs
from pushforward.measures import Gaussian
from pushforward.networks import MLP, Autoencoder, UNet
from pushforward.paths import Latent, PrincipalComponents
from pushforward.solvers import FixedStep, Jump
from pushforward.training import FramedSides, Trainer, fit_codec

X = torch.randn(2000, 2, generator=torch.Generator().manual_seed(5))
SHORT = Trainer(steps=8, batch_size=16, warmup=0, decay="constant", checkpoint_every=2)
RK4 = FixedStep("rk4", 8)
TARGET = Gaussian([1.0, -1.0], [[0.25, 0.0], [0.0, 4.0]])


@pytest.fixture(scope="module")
def flow():
    trainer = Trainer(steps=600, batch_size=256, learning_rate=3e-3, ema=0.99)
    return pf.fit("gaussian", TARGET, network=MLP(width=48), normalise="none", trainer=trainer)


@pytest.mark.parametrize(
    "method", [ReMeanFlow(pool=4000, solver=RK4, kept=1.0), StagedMeanFlow(solver=RK4), StagedMeanFlow((1, 0, 0))]
)
def test_one_jump_ends_where_the_flow_does(method, flow):
    exact = flow.push(X, tolerance=1e-5)
    trainer = Trainer(steps=400, batch_size=256, learning_rate=2e-3, ema=0.98)
    student = pf.distil(flow, method, steps=1, source="gaussian", target=TARGET, trainer=trainer)
    found, step = (
        float((y - exact).square().sum(1).mean()) for y in (student.push(X), flow.push(X, steps=1, method="euler"))
    )
    assert found < 0.1 * step


def test_truncation_leaves_out_the_farthest(flow):
    """On the plane from N(0, I) to N(m, S) these are known: what is kept is near, and its source narrower."""
    sides = FramedSides((flow.source, TARGET), flow.frames, flow.field)
    pools = [
        SelfGenerated(RK4, 1000, kept=kept).prepared(sides, generator=torch.Generator().manual_seed(0))
        for kept in (1.0, 0.75)
    ]
    everything, near = (pool(X, X, generator=torch.Generator().manual_seed(1)) for pool in pools)
    farthest = [float((pairs.x1 - pairs.x0).square().sum(1).max()) for pairs in (everything, near)]
    whole = pools[0]._pairs
    assert whole is not None and len(near.x0.unique(dim=0)) <= 750 < len(everything.x0.unique(dim=0))
    edge = (whole.x1 - whole.x0).square().sum(1).sort().values[749]
    assert farthest[1] == pytest.approx(float(edge), rel=1e-5) and farthest[1] < farthest[0]
    for mistake in ({"kept": 0.0}, {"kept": 1.5}, {"kept": 0.5, "pool": None}):
        with pytest.raises(InputError, match="kept is a share of the pool"):
            SelfGenerated(RK4, **mistake)


def test_any_two_nodes_are_paired(flow):
    sides = FramedSides((flow.source, TARGET), flow.frames, flow.field)
    for pool in (200, None):
        coupling = TrajectoryPairs(steps=3, solver=RK4, pool=pool, reach="any").prepared(
            sides, generator=torch.Generator().manual_seed(0)
        )
        pairs = coupling(X, X, generator=torch.Generator().manual_seed(1))
        met = {(round(3 * float(s)), round(3 * float(e))) for s, e in zip(pairs.s, pairs.e, strict=True)}
        assert met == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)}
        rows = (pairs.s == 0) & (pairs.e == 1)
        torch.testing.assert_close(
            pairs.x1[rows], flow.push(pairs.x0[rows], steps=8, method="rk4"), atol=2e-3, rtol=2e-3
        )
    with pytest.raises(InputError, match="reach cannot be 'all'"):
        TrajectoryPairs(steps=3, reach="all")  # type: ignore[arg-type]


def test_stages_share_the_steps_and_resume(flow, tmp_path):
    method = StagedMeanFlow((0.5, 0.25, 0.25), nodes=4, pool=30, solver=RK4)
    sides = {"source": "gaussian", "target": "ring", "steps": 2, "trainer": SHORT}
    whole = pf.distil(flow, method, out=tmp_path / "run", **sides)
    assert whole.solver == Jump(2)
    stages = tmp_path / "run/stages"
    steps = {p.name: pf.training.read_config(p)["trainer"]["steps"] for p in stages.iterdir() if p.name != "teacher"}
    assert steps == {"trajectories": 4, "distilled": 2, "bootstrapped": 2}
    shutil.rmtree(stages / "bootstrapped")
    (stages / "distilled/transport.json").unlink()
    (tmp_path / "run/transport.json").unlink()
    again = pf.distil(flow, method, out=tmp_path / "run", resume=True, **sides)
    assert torch.equal(again.push(X), whole.push(X))
    left_out = pf.distil(flow, StagedMeanFlow((0, 1, 0)), out=tmp_path / "short", **sides)
    assert [p.name for p in (tmp_path / "short/stages").iterdir() if p.name != "teacher"] == ["distilled"]
    assert left_out.solver == Jump(2)


@pytest.mark.parametrize("trained", [False, True], ids=["components", "autoencoder"])
def test_in_a_latent_space(trained, tmp_path):
    """Of a fixed codec and of a trained one, by class: latents are what jumps, and points come out."""
    digits = pf.measures.digits()[torch.arange(200)]
    codec = PrincipalComponents(5)
    if trained:
        codec = fit_codec(digits.x, Autoencoder(channels=1, width=8, halvings=1), trainer=SHORT)
    network = UNet(channels=4) if trained else MLP(width=8)
    flow = pf.fit("gaussian", digits, path=Latent(codec), network=network, trainer=SHORT)
    noise, label = torch.randn(3, 1, 8, 8), {"label": [1, 2, 3]}
    for method in (StagedMeanFlow((0.4, 0.4, 0.2), nodes=4, pool=20, solver=RK4), ReMeanFlow(pool=20, solver=RK4)):
        student = pf.distil(flow, method, steps=1, source="gaussian", target=digits, trainer=SHORT)
        made = student.push(noise, label)
        assert made.shape == (3, 1, 8, 8) and student.solve(noise, label).evaluations == 1
        again = pf.load(student.save(tmp_path / type(method).__name__))
        assert torch.equal(again.push(noise, label), made)


@pytest.mark.usefixtures("small_reports")
def test_from_a_shell(tmp_path):
    run, small = str(tmp_path / "run"), ["--trainer.steps", "4", "--trainer.batch_size", "16", "--quiet"]
    assert main(["fit", "gaussian", "ring", "--network", "MLP", "--network.width", "8", "--out", run, *small]) == 0
    reflow = ["--method", "re-meanflow", "--method.pool", "40", "--method.kept", "0.8"]
    assert main(["distil", run, *reflow, "--steps", "1", "--out", str(tmp_path / "a"), *small]) == 0
    staged = ["--method", "staged-meanflow", "--method.pool", "40", "--method.derivative", "central"]
    assert main(["distil", run, *staged, "--steps", "2", "--out", str(tmp_path / "b"), *small]) == 0
    pairs = [
        "--coupling",
        "TrajectoryPairs",
        "--coupling.steps",
        "4",
        "--coupling.reach",
        "any",
        "--coupling.pool",
        "9",
    ]
    fresh = ["fit", "gaussian", "ring", "--teacher", run, "--network", "MLP", "--objective", "JumpMatching", *pairs]
    assert main([*fresh, "--out", str(tmp_path / "c"), *small]) == 0
    for name, steps in {"a": 1, "b": 2, "c": 1}.items():
        student = pf.load(tmp_path / name)
        assert student.solver == Jump(steps) and torch.isfinite(student.push(X[:4])).all()
    assert main(["distil", run, "--method", "StagedMeanFlow", "--method.shares", "[1,1,0]", "--out", run + "e"]) == 2


def test_mistakes():
    with pytest.raises(InputError, match="sum to one"):
        StagedMeanFlow((0.5, 0.4, 0.0))
    with pytest.raises(InputError, match="two nodes"):
        StagedMeanFlow(nodes=1)
    with pytest.raises(InputError, match="kept is a share of the pool"):
        ReMeanFlow(pool=None)
    assert ReMeanFlow(pool=None, kept=1.0).pool is None
