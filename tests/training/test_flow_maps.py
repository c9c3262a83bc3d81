"""Flow maps through the whole library: trained, saved, loaded, resumed, distilled, and from a shell."""

import pytest
import torch

import pushforward as pf
from pushforward.cli import main
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import MLP, TwoTime
from pushforward.objectives import Adaptive, AlphaFlow, Guided, MeanFlow, ModularMeanFlow, Taught, TimePairs, Uniform
from pushforward.paths import CondOT
from pushforward.solvers import Jump
from pushforward.training import Trainer

SHORT = Trainer(steps=6, batch_size=16, warmup=0, decay="constant", checkpoint_every=3)
X = torch.randn(200, 2, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("objective", [MeanFlow(), AlphaFlow(), ModularMeanFlow()], ids=lambda o: type(o).__name__)
def test_contract(objective, tmp_path):
    """A network named for the velocity is told two times, the flow jumps, and killed runs end with the same bits."""
    fit = {"network": MLP(width=8), "objective": objective, "trainer": SHORT}
    flow = pf.fit("gaussian", "ring", out=tmp_path / "run", **fit)
    assert flow.solver == Jump() and flow.field.architecture == TwoTime(MLP(width=8))
    again = pf.load(tmp_path / "run")
    for steps in (1, 2, 4):
        assert torch.equal(again.push(X, steps=steps), flow.push(X, steps=steps))
    assert flow.solve(X).evaluations == 1
    assert torch.isfinite(flow.pull(flow.push(X, steps=2), method="dopri5")).all()
    with pytest.raises(InputError, match="forwards"):
        flow.pull(X)
    (tmp_path / "run/checkpoints/step-000000006.safetensors").unlink()
    (tmp_path / "run/transport.json").unlink()
    resumed = pf.fit("gaussian", "ring", out=tmp_path / "run", resume=True, **fit)
    assert torch.equal(resumed.push(X), flow.push(X))


def test_trains_under_bfloat16_and_compiled():
    trainer = Trainer(steps=2, batch_size=16, precision="bfloat16")
    flow = pf.fit("gaussian", "ring", network=MLP(width=8), objective=MeanFlow(), trainer=trainer)
    assert torch.isfinite(flow.push(X)).all()


def test_learns_the_map_of_two_gaussians():
    """One jump is far nearer than a step of the exact velocity, in seconds."""
    target = Gaussian([1.0, -1.0], [[0.25, 0.0], [0.0, 1.0]])
    oracle = AffineOracle(Gaussian.standard(2), target, CondOT())
    exact, v = oracle.flow_map(X, 0.0, 1.0), oracle.velocity(X, torch.zeros(len(X)))
    objective = MeanFlow(times=TimePairs(Uniform(), 0.5), weighting=Adaptive(0.0))
    trainer = Trainer(steps=400, batch_size=128, learning_rate=4e-3, ema=0.98)
    flow = pf.fit("gaussian", target, network=MLP(width=32), objective=objective, trainer=trainer, normalise="none")
    found = (flow.push(X) - exact).square().sum(1).mean()
    assert found < 0.2 * (X + v - exact).square().sum(1).mean()


def test_guidance_is_trained_in():
    label = torch.arange(64) % 2
    points = torch.randn(64, 2) + 4 * label[:, None]
    objective = MeanFlow(Guided(omega=2.0, kappa=0.0), condition_dropout=0.1)
    flow = pf.fit(
        "gaussian", points, condition={"label": label}, network=MLP(width=8), objective=objective, trainer=SHORT
    )
    assert flow.push(X[:4], {"label": [0, 1, 0, 1]}).shape == (4, 2)
    with pytest.raises(InputError, match="knows no jumps"):
        flow.push(X[:4], {"label": [0, 1, 0, 1]}, guidance=2.0)


def test_taught_needs_a_flow():
    with pytest.raises(InputError, match="no flow to be taught by"):
        pf.fit("gaussian", "ring", network=MLP(width=8), objective=MeanFlow(Taught()), trainer=SHORT)
    flow = pf.fit("gaussian", "ring", network=MLP(width=8), trainer=SHORT)
    with pytest.raises(InputError, match="told one time"):
        pf.fit("gaussian", "ring", init=flow, objective=MeanFlow(), trainer=SHORT)


@pytest.mark.usefixtures("small_reports")
def test_from_a_shell(tmp_path):
    run, student, points = str(tmp_path / "run"), str(tmp_path / "student"), str(tmp_path / "out.csv")
    small = [
        "--network",
        "MLP",
        "--network.width",
        "8",
        "--trainer.steps",
        "3",
        "--trainer.batch_size",
        "16",
        "--quiet",
    ]
    assert main(["fit", "gaussian", "ring", "--objective", "MeanFlow", "--objective.times.distinct", "0.5",
                 "--out", str(tmp_path / "map"), *small]) == 0  # fmt: skip
    assert main(["fit", "gaussian", "ring", "--out", run, *small]) == 0
    assert main(["distil", run, "--method", "meanflow", "--steps", "2", "--out", student, *small[4:]]) == 0
    assert pf.load(student).solver == Jump(2)
    assert main(["push", student, "gaussian", "--rows", "5", "-o", points]) == 0
