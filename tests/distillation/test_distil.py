"""One command makes a student of any saved flow, whatever the method."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import pushforward as pf
from pushforward.cli import main
from pushforward.cli.pieces import classes_of
from pushforward.distillation import (
    Boss,
    ConsistencyDistillation,
    ConstantAcceleration,
    Distillation,
    FlowTurbo,
    MDTDistillation,
    MeanFlowDistillation,
    PerFlow,
    PiFlow,
    Reflow,
    ReMeanFlow,
    ShortcutDistillation,
    StagedMeanFlow,
)
from pushforward.errors import InputError
from pushforward.measures import Gaussian
from pushforward.networks import MLP, DataGrid, MixtureHead
from pushforward.objectives import FlowMatching, LogitNormal
from pushforward.solvers import DormandPrince, Explicit, FixedStep
from pushforward.training import Trainer

X = torch.randn(400, 2, generator=torch.Generator().manual_seed(5))
SHORT = Trainer(steps=4, batch_size=16, warmup=0, decay="constant", checkpoint_every=2)
QUICK = FixedStep("midpoint", 8)


@dataclass(frozen=True)
class Regrid(Distillation):
    """Needs no training."""

    def __call__(self, task):
        nodes = torch.linspace(0, 1, task.steps + 1).square().tolist()
        return task.teacher.with_solver(FixedStep("euler", grid=Explicit(tuple(nodes))))


METHODS = {
    Reflow(pool=100, solver=QUICK): 3,
    Reflow(2, at_steps=True, pool=None, solver=QUICK): 3,
    PerFlow(windows=3): 3,
    ConstantAcceleration(pool=100, solver=QUICK): 4,
    MeanFlowDistillation(): 3,
    MDTDistillation(): 3,
    PiFlow(MixtureHead(3), substeps=8): 3,
    PiFlow(DataGrid(3), budgets=(1, 2), substeps=8): 3,
    ShortcutDistillation(): 3,
    ConsistencyDistillation(): 3,
    ReMeanFlow(pool=100, solver=QUICK): 3,
    StagedMeanFlow((0.5, 0.25, 0.25), nodes=5, pool=40, solver=QUICK): 3,
    Regrid(): 3,
    Boss(fine=9, trajectories=20, pool=30): 3,
    Boss(fine=9, trajectories=20, refine=False): 3,
    FlowTurbo(): 3,
    FlowTurbo("H1P2"): 4,
}
"""Methods, and the evaluations of their students in three steps."""


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / "run"
    trainer = Trainer(steps=600, batch_size=256, learning_rate=3e-3, ema=0.99)
    pf.fit("gaussian", "moons-torchdyn", network=MLP(width=48), trainer=trainer, out=out)
    return out


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_contract(method, teacher, tmp_path):
    """The student pushes in the steps asked for, is saved and loaded, and its teacher stays what it was."""
    pushed = lambda flow: flow.push(X, generator=torch.Generator().manual_seed(0))  # noqa: E731
    before = pf.load(teacher).push(X)
    student = pf.distil(teacher, method, steps=3, trainer=SHORT, out=tmp_path / "student")
    assert student.solve(X).evaluations == METHODS[method]
    again = pf.load(tmp_path / "student")
    assert torch.equal(pushed(again), pushed(student)) and again.solver == student.solver
    assert torch.equal(pf.load(teacher).push(X), before)
    assert torch.equal(pf.load(tmp_path / "student/stages/teacher").push(X), before)
    in_memory = pf.distil(pf.load(teacher), method, steps=3, trainer=SHORT, source="gaussian", target="moons-torchdyn")
    assert torch.equal(pushed(in_memory), pushed(student))


def test_every_method_is_tried():
    of_another_student = {"Plugged", "Transplant"}  # tried with those, in test_adapters and test_transplant
    assert {type(method).__name__ for method in METHODS} >= set(classes_of(Distillation)) - of_another_student


@pytest.mark.parametrize("keep", [[], ["round-1"], ["round-1", "round-2"]], ids=str)
def test_resumes_from_any_stage(keep, teacher, tmp_path):
    method = Reflow(2, at_steps=True, pool=100, solver=QUICK)
    whole = pf.distil(teacher, method, steps=2, trainer=SHORT, out=tmp_path / "run")
    for stage in {"round-1", "round-2", "at-steps"} - set(keep):
        folder = tmp_path / "run/stages" / stage
        if stage == min({"round-1", "round-2", "at-steps"} - set(keep), key=["round-1", "round-2", "at-steps"].index):
            (folder / "checkpoints/step-000000004.safetensors").unlink()  # killed half-way
            (folder / "transport.json").unlink()
        else:
            shutil.rmtree(folder)
    (tmp_path / "run/transport.json").unlink()
    again = pf.distil(teacher, method, steps=2, trainer=SHORT, out=tmp_path / "run", resume=True)
    assert torch.equal(again.push(X), whole.push(X))


def test_reflow_makes_one_step_enough(teacher):
    """Against the teacher's own end points: the step of the teacher is far off, that of its student is near."""
    flow = pf.load(teacher)
    exact = flow.push(X, tolerance=1e-6)
    trainer = Trainer(steps=800, batch_size=256, learning_rate=2e-3, ema=0.99)
    sides = {"source": "gaussian", "target": "moons-torchdyn", "trainer": trainer, "steps": 1}
    errors = [
        float((moved - exact).square().sum(1).mean().sqrt())
        for moved in (
            flow.push(X, steps=1, method="euler"),
            pf.distil(flow, Reflow(pool=4000), **sides).push(X),
            pf.distil(flow, Reflow(0, at_steps=True, pool=4000), **sides).push(X),
        )
    ]
    assert errors[1] < 0.2 * errors[0] and errors[2] < errors[1], errors


def test_a_gaussian_becomes_straight():
    """N(0, I) to N(m, I): the exact flow is the shift by m, which one step of a rectified flow takes; the plain flow
    bends by d (2 - pi/2), and its one step has no spread at all.
    """
    target, m = Gaussian([2.0, -1.0]), torch.tensor([2.0, -1.0])
    trainer = Trainer(steps=800, batch_size=256, learning_rate=3e-3, ema=0.99)
    flow = pf.fit("gaussian", target, network=MLP(width=48), trainer=trainer, normalise="none")
    student = pf.distil(flow, Reflow(pool=5000), steps=1, source="gaussian", target=target, trainer=trainer)
    assert float(flow.push(X, steps=1, method="euler").std(0).mean()) < 0.2
    assert float((student.push(X) - X - m).square().sum(1).mean().sqrt()) < 0.15


@pytest.mark.usefixtures("small_reports")
def test_from_the_command_line(teacher, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [
        "distil",
        str(teacher),
        "--method",
        "reflow",
        "--method.pool",
        "50",
        "--trainer.steps",
        "2",
        "--steps",
        "3",
    ]
    assert (
        main([*words, "--method.objective", "FlowMatching", "--method.objective.time", "LogitNormal", "-o", "s"]) == 0
    )
    assert "teacher     student" in capsys.readouterr().out
    found, before = (json.loads(Path(f"s/{run}evaluation.json").read_text()) for run in ("", "stages/teacher/"))
    assert found["evaluations"] == 3 and [count for count, _ in found["curves"]["W2"]] == [1, 2, 3, 4, 8, 100]
    assert [count for count, _ in before["curves"]["W2"]] == [1, 2, 3, 4, 8, 100] and before["evaluations"] > 20
    page = Path("s/report.html").read_text()
    assert "student, euler" in page and "teacher, euler" in page and "liu2022flow" in page
    assert main(["push", "s", "gaussian", "--rows", "4", "-o", "x.npy"]) == 0 and main(["report", "s"]) == 0
    assert main(["distil", "--resume", "--out", "s"]) == 0
    assert main([*words, "-o", "s"]) == 2 and "already holds a run" in capsys.readouterr().err
    assert main([*words, "-o", "s", "--overwrite", "--quiet"]) == 0 and capsys.readouterr().out == ""
    assert main(["distil", "s", "--trainer.steps", "1", "--out", "t", "--steps", "1", "--method.pool", "9"]) == 0


MISTAKES = {
    "distil": "missing --out STUDENT",
    "distil -o s": "missing TEACHER",
    "distil none -o s": "holds no transport",
    "distil a b -o s": "got a second: 'b'",
    "distil RUN -o s --method relow": "did you mean 'Reflow'?",
    "distil RUN -o s --method reflow --method.round 3": "did you mean 'rounds'?",
    "distil RUN -o s --method.rounds 0": "at least one round, or at_steps",
    "distil RUN -o s --steps 0": "at least one step",
    "distil RUN -o s --stesp 3": "did you mean '--steps'?",
    "distil RUN -o s --method.solver SDE": "deterministic solver",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistake(line, teacher, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(line.replace("RUN", str(teacher)).split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and MISTAKES[line] in error, error
    assert not list(tmp_path.iterdir())


def test_what_it_is_not_told_it_asks_for(tmp_path):
    flow = pf.fit(X, X + 1, network=MLP(width=8), trainer=Trainer(steps=1), out=tmp_path / "run")
    with pytest.raises(InputError, match=r"what its source was .*: give source"):
        pf.distil(tmp_path / "run", trainer=SHORT)
    with pytest.raises(InputError, match="give source"):
        pf.distil(flow)
    method = Reflow(pool=20, solver=QUICK, objective=FlowMatching(LogitNormal()))
    student = pf.distil(tmp_path / "run", method, source=X, target=X + 1, steps=1, trainer=SHORT)
    assert student.solve(X).evaluations == 1 and isinstance(flow.solver, DormandPrince)
