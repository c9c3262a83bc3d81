"""The few-step contest: that every method spends the budget and no more, and that what is judged is what is said."""

import pytest
import torch
from benchmarks.few_step import contest
from benchmarks.few_step.lab import Budget, Lab
from benchmarks.few_step.methods import methods, turbo
from benchmarks.few_step.report import markdown
from benchmarks.few_step.tasks import ByClass, by_class, even_mixture, even_normal
from benchmarks.settings import Settings

from pushforward.measures import ring
from pushforward.metrics import wasserstein2
from pushforward.networks import MLP
from pushforward.solvers import Program
from pushforward.training.adamw import AdamW

BUDGET = Budget(steps=12, batch=8, pairs=32)


@pytest.fixture(scope="module")
def task():
    return by_class("digits", MLP(8, 3))


@pytest.mark.parametrize("method", methods(BUDGET.pairs), ids=lambda method: method.name)
def test_every_method_takes_the_steps_and_evaluations_that_are_counted(method, task, monkeypatch):
    taken, step = [], AdamW.step
    monkeypatch.setattr(AdamW, "step", lambda *arguments: (taken.append(1), step(*arguments))[1])
    count = method.counts[0]
    made = method.made(Lab(task, 0, BUDGET), count)
    assert len(taken) == made.steps == BUDGET.steps
    evaluations = made.transport.solve(task.x0, task.condition).evaluations
    assert evaluations == count or "Dormand-Prince" in method.name


def test_a_student_is_of_its_own_teacher(task):
    lab, named = Lab(task, 0, BUDGET), {method.name: method for method in methods(BUDGET.pairs)}
    x0 = task.x0[:5], {"label": task.condition["label"][:5]}
    one, other, again = (
        named[name].made(lab, 1).transport.push(*x0)
        for name in ("2-rectified flow", "2-rectified flow, OT pairs", "2-rectified flow")
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_points_are_even_and_of_the_law():
    points = even_normal(1024, 0)
    assert points.mean(0).abs().max() < 0.005  # 0.03 for random points
    assert torch.allclose(points.T.cov(), torch.eye(2), atol=0.02)
    circle = ring()
    some, again = (even_mixture(circle, 1024, number) for number in range(2))
    assert torch.cdist(some, circle.means).argmin(1).bincount().tolist() == [128] * 8
    random = circle.sample(1024, generator=torch.Generator().manual_seed(0))
    assert wasserstein2(some, again) < 0.3 * wasserstein2(some, random)  # chance fills modes unevenly


def test_classes_are_judged_one_by_one():
    x, labels = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    judge = ByClass(x, labels, x, labels)
    assert judge(x) == 0
    assert judge(x.flip(0)) == 2  # the same points altogether, each of the wrong class: 2 E|x - y| = 2


def test_a_program_of_so_many_evaluations():
    assert [turbo(n) for n in (2, 4, 8)] == ["H1R1", "H1P2R1", "H1P6R2"]
    assert all(Program(turbo(n)).kinds.count("P") + 2 == n for n in (2, 4, 8))


def test_a_run_goes_on_with_what_is_missing(monkeypatch):
    names = [method.name for method in methods(1)]
    done = []

    def cell(lab, method):
        done.append((lab.task.name, method.name, lab.seed))
        return row(lab.task.name, method.name, lab.seed, {"1": 1.0})

    monkeypatch.setattr(contest, "cell", cell)
    monkeypatch.setattr(contest, "step_costs", lambda *_: [])
    settings, kept = Settings(steps=1, seeds=(0,), smoke=True), []
    contest.run(settings, kept.append)
    everything = kept[-1]
    assert len(everything) == len(done) == len(names)
    done.clear()
    contest.resume(settings, kept.append, [r for r in everything if r["name"] != names[3]])
    assert {name for _, name, _ in done} == {names[3]}
    assert len(kept[-1]) == len(everything)


def row(task, name, seed, distance):
    return {
        "task": task, "name": name, "seed": seed, "measure": "W2", "floor": 0.1, "distance": distance,
        "evaluations": {n: int(n) for n in distance}, "training_steps": 8, "training_cpu_seconds": 2.0,
    }  # fmt: skip


def test_goals_are_met_or_missed_by_the_median():
    def rows(one, four):
        flows = [row("t", "flow matching", 0, {"1": 9.0, "4": 3.0, "100": 1.0})]
        return flows + [row("t", "student", seed, {"1": one + seed - 1, "4": four}) for seed in range(3)]

    text = markdown(rows(1.14, 1.09))
    assert "| student | 1.090 | 1.09, met |" in text
    assert "| student | 1.140 | 1.14, met |" in text
    assert "1.16, **missed**" in markdown(rows(1.16, 1.09))
    assert "1.11, **missed**" in markdown(rows(1.14, 1.11))
    cost = {"name": "MeanFlow", "size": "small", "step": [1.5, 1.7, 1.9]}
    assert "| MeanFlow | - | 1.70, **missed** |" in markdown([*rows(1.1, 1.1), cost])
