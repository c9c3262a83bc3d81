"""The benchmark of transport: the check of the answers, who is let off, and every solver that is installed."""

import math
import os
import time
from functools import partial

import pytest
import torch
from benchmarks.timing import Lap
from benchmarks.transport import batched, entropic, exact, sweeps
from benchmarks.transport.contest import Call, contest, with_ratios
from benchmarks.transport.problems import Potentials, audit, clouds, task
from benchmarks.transport.worker import Outcome, Run, Worker
from tests.fresh import run_python

from benchmarks import peers


@pytest.fixture(scope="module")
def worker():
    with Worker() as worker:
        yield worker


def test_the_mean_squared_distance_is_one():
    x, y = clouds(40, 3)
    assert torch.cdist(x, y).square().mean() == pytest.approx(1)
    assert [side.shape for side in clouds(8, 3, 5)] == [(5, 8, 3)] * 2


def test_the_audit_measures_the_plan_of_the_potentials():
    problem = task(30, 2, 0.3, 1e-6)
    generator = torch.Generator().manual_seed(3)
    f, g = 0.1 * torch.randn(2, 30, dtype=torch.float64, generator=generator)
    plan = torch.exp((f[:, None] + g - problem.cost()) / 0.3) / 900
    found = audit(problem, Potentials(f.numpy(), g, 7))
    assert found["error"] == pytest.approx(
        float((plan.sum(0) - 1 / 30).abs().sum() + (plan.sum(1) - 1 / 30).abs().sum())
    )
    assert found["bound"] == pytest.approx(float(f.mean() + g.mean() - 0.3 * (plan.sum() - 1)))
    assert found["iterations"] == 7


def test_the_audit_of_a_batch_is_of_the_worst():
    together = task(12, 2, 0.3, 1e-6, batch=3)
    f, g = torch.zeros(3, 12), torch.zeros(3, 12)
    found = audit(together, Potentials(f, g))
    plans = torch.exp(-together.cost() / 0.3) / 144
    errors = sum((plans.sum(axis) - 1 / 12).abs().sum(1) for axis in (1, 2))
    assert found["error"] == pytest.approx(float(errors.max()))


def test_a_worker_times_and_survives(worker):
    done = worker.call(Run, partial(dict, x=1), dict, limit=30)
    assert done.report == {"x": 1}
    assert done.lap is not None
    assert done.lap.wall >= 0
    assert worker.call(Run, partial(int, "x"), dict, limit=30).trouble.startswith("ValueError: invalid literal")
    assert worker.call(Run, partial(os._exit, 3), dict, limit=30).trouble == "its process died"
    assert worker.call(Run, partial(time.sleep, 60), dict, limit=0.2).trouble == "over 0.2 s"
    assert worker.call(Run, partial(dict, x=2), dict, limit=30).report == {"x": 2}


def test_a_worker_computes_on_one_thread(worker):
    found = worker.call(Run, torch.get_num_threads, partial(dict.fromkeys, ("threads",)), limit=30)
    assert found.report == {"threads": 1}
    if hasattr(os, "sched_getaffinity"):
        cores = partial(os.sched_getaffinity, 0)
        found = worker.call(Run, cores, partial(dict.fromkeys, ("cores",)), limit=30)
        assert len(found.report["cores"]) == 1


class Scripted:
    """Stands in for a worker: the k-th call of a contender takes `times[name][k]` seconds."""

    def __init__(self, times):
        self.times, self.calls = {name: iter(found) for name, found in times.items()}, []

    def call(self, prepare, name, limit):
        self.calls.append(name)
        time = next(self.times[name])
        return Outcome(trouble=time) if isinstance(time, str) else Outcome(Lap(time, time, time), {"error": 0.0})


def test_quick_contenders_run_in_turn_and_slow_ones_once():
    worker = Scripted({"a": [9e-1, 0.3, 0.1, 0.2], "slow": [20.0], "late": ["over 60 s"]})
    calls = {name: Call("torch", dict, (name,)) for name in ("a", "slow", "late", "skipped")}
    calls["absent"] = Call("no_such_package", dict, ("absent",))
    rows = {row["name"]: row for row in contest(worker, calls, 3, hopeless="skipped".__eq__)}
    assert worker.calls == ["a", "slow", "late", "a", "a", "a"]
    assert rows["a"]["cpu"] == 0.2  # the median of all but the first
    assert rows["a"]["rounds"] == 3
    assert rows["slow"]["cpu"] == 20
    assert [rows[name]["trouble"] for name in ("late", "skipped", "absent")] == [
        "over 60 s", "not tried, failed at less", "not installed",
    ]  # fmt: skip


def test_repeated_runs_stop_when_they_cost_too_much():
    worker = Scripted({"a": [1.2] * 9})
    assert contest(worker, {"a": Call("torch", dict, ("a",))}, 8)[0]["rounds"] == 2


def row(name, cpu, tolerance, error, bound, trouble=""):
    case = {"n": 9, "d": 3, "epsilon": 0.05, "tolerance": tolerance}
    return case | {"name": name, "cpu": cpu, "error": error, "bound": bound, "trouble": trouble}


def test_only_plans_with_the_error_and_the_objective_count():
    rows = entropic.judge(
        [
            row("pushforward", 1.0, 1e-3, 9e-4, 0.49999),
            row("sloppy", 0.1, 1e-3, 2e-3, 0.49999),
            row("astray", 0.1, 1e-3, 1e-4, 0.4),
            row("broken", 0.1, 1e-3, math.nan, math.nan),
            row("pushforward", 2.0, 1e-6, 1e-7, 0.5),
            row("good", 4.0, 1e-6, 1e-6, 0.5),
        ]
    )
    assert [one["trouble"] for one in rows] == ["", "error too large", "another objective", "error too large", "", ""]
    assert [one["ratio"] for one in rows] == [1, None, None, None, 1, 0.5]
    assert rows[0]["gap"] == pytest.approx(2e-5)


def test_ratios_need_both():
    assert with_ratios([row("peer", 2.0, 1e-3, 0.0, 0.5)], "pushforward")[0]["ratio"] is None


def test_one_iteration_is_the_difference_of_two_runs():
    few = [{"name": name, "cpu": 1.0, "wall": 1.0, "trouble": "", "iterations": 20, "rounds": 1} for name in "ab"]
    many = [dict(one, cpu=4.0, wall=7.0, iterations=count) for one, count in zip(few, (50, 20), strict=True)]
    steady, stopped = sweeps.slopes(few, many)
    assert (steady["cpu"], steady["wall"]) == (0.1, 0.2)
    assert stopped["trouble"] == "stopped by itself"
    assert stopped["cpu"] is None


def test_growth_is_that_of_the_resident_memory(tmp_path):
    """In a process of its own: one that has freed much before takes from that, and does not grow."""
    run_python(
        "import torch\nfrom benchmarks.transport.memory import growth\nkept = []\n"
        "grown = growth(lambda: kept.append(torch.ones(1 << 23, dtype=torch.float64)))\n"
        "assert abs(grown - 64) < 13, grown",
        tmp_path,
    )


def test_an_exact_solver_has_to_be_exact():
    rows = [
        {"name": "best", "value": 1.0, "error": 0.0, "exact": True, "trouble": ""},
        {"name": "worse", "value": 1.1, "error": 0.0, "exact": True, "trouble": ""},
        {"name": "near", "value": 1.1, "error": 0.0, "exact": False, "trouble": ""},
        {"name": "cheat", "value": 0.5, "error": 0.1, "exact": True, "trouble": ""},
    ]
    found = exact.excess(rows)
    assert [one["trouble"] for one in found] == ["", "not optimal", "", "not a coupling"]
    assert found[2]["excess"] == pytest.approx(0.1)


@pytest.mark.parametrize("name", entropic.SOLVERS)
def test_every_entropic_solver_reaches_the_tolerance_and_the_optimum(worker, name):
    if not peers.installed(entropic.SOLVERS[name].package):
        pytest.skip("not installed")
    tolerance = 1e-3 if name == "GeomLoss" else 1e-6  # whose error falls as the reciprocal of the iterations
    found = worker.call(entropic.prepare, name, 48, 3, 0.05, tolerance, limit=60)
    assert found.trouble == ""
    assert found.report["error"] <= 1.02 * tolerance
    reference = worker.call(entropic.prepare, "absorbed kernel, by hand", 48, 3, 0.05, 1e-9, limit=60).report["bound"]
    assert found.report["bound"] == pytest.approx(reference, rel=1e-5)


@pytest.mark.parametrize("name", exact.MATCHERS)
def test_every_exact_solver_finds_the_optimum(worker, name):
    if not peers.installed(exact.MATCHERS[name].package):
        pytest.skip("not installed")
    found = worker.call(exact.prepare, name, 40, 2, limit=60)
    best = worker.call(exact.prepare, "SciPy linear_sum_assignment", 40, 2, limit=60).report["value"]
    assert found.trouble == ""
    assert found.report["error"] < 1e-9
    assert found.report["value"] == pytest.approx(best, rel=1e-9 if exact.MATCHERS[name].exact else 0.2)


@pytest.mark.parametrize("name", batched.BATCHERS)
def test_every_batched_solver_reaches_the_tolerance(worker, name):
    if not peers.installed(batched.BATCHERS[name].package):
        pytest.skip("not installed")
    found = worker.call(batched.prepare_entropic, name, 3, 16, 2, limit=60)
    assert found.trouble == ""
    assert found.report["error"] <= 1.02 * batched.TOLERANCE
