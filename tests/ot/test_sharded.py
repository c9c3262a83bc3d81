"""Transport with the source spread over processes: the answer of one process, and mistakes that stop them all."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from pushforward.errors import InputError
from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.ot.entropic.sharded import ShardedTransform, solve_sharded
from pushforward.ot.entropic.streamed import StreamedTransform
from pushforward.ot.problem import pose

COMMON = """
    import sys, warnings
    import torch
    import torch.distributed as dist
    from pushforward.errors import ConvergenceWarning, InputError
    from pushforward.geometry import PNorm, SquaredEuclidean
    from pushforward.ot.entropic.sharded import ShardedTransform, solve_sharded
    from pushforward.ot.entropic.streamed import StreamedTransform
    from pushforward.ot.problem import Problem

    rank, folder = int(sys.argv[1]), sys.argv[2]
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    x, y, a, b = torch.load(f"{folder}/clouds.pt", weights_only=True)
    mine = slice(0, 37) if rank == 0 else slice(37, None)
"""

SOLVES = """
    out = {}
    for name, cost, weights in (("uniform", SquaredEuclidean(), None), ("weighted", PNorm(2), a[mine])):
        plan = solve_sharded(x[mine], y, weights, b, cost=cost, epsilon=1.0, tolerance=1e-8)
        value, columns = plan.value.clone(), plan.transpose_apply(torch.ones_like(plan.problem.a))
        dist.all_reduce(value), dist.all_reduce(columns)
        out[name] = dict(f=plan.f, g=plan.g, value=value, columns=columns, map=plan.barycentric_map(),
                         rows=plan.apply(torch.ones_like(b)), error=torch.tensor(plan.history[-1][1]))
        assert plan.converged
    transform = ShardedTransform(StreamedTransform(Problem(a[mine], b, SquaredEuclidean(), x[mine], y), 0.1)).at(0.001)
    out["columns"] = transform.columns(transform.rows(torch.zeros_like(b)))
    out["total"] = transform.total(a[mine])
    single = solve_sharded(x[mine].float(), y.float(), epsilon=1.0)
    assert single.converged and single.g.dtype == torch.float32
    out["float32"] = single.g
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        late = solve_sharded(x[mine], y, epsilon=0.001, tolerance=1e-9, max_iterations=2)
    assert not late.converged and "solve_sharded stopped after" in str(caught[-1].message)
"""

MISTAKES = """
    def refused(*arguments, **options):
        try:
            solve_sharded(*arguments, epsilon=options.pop("epsilon", 0.1), **options)
        except InputError as error:
            return str(error)

    hole = x[mine].clone()
    hole[0] = torch.nan if rank == 1 else 0
    errors = [
        refused(hole, y),
        refused(x[mine], y + rank),
        refused(x[mine], y, a[mine] * 2),
        refused(x[mine], y, a[mine] * (1 - rank)),
        refused(x[mine], y, None if rank else a[mine]),
        refused(x[mine], y, epsilon=-1 if rank else 1),
        refused(x[mine], y, tolerance=0.1 + 0.1 * rank),
        refused(x[mine][None], y[None]),
    ]
    torch.save({"solved": out, "errors": errors}, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
"""


def clouds():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(100, 2, generator=g).double(), torch.randn(60, 2, generator=g).double() + 1
    a, b = torch.rand(100, generator=g).double(), torch.rand(60, generator=g).double()
    a[90:] = 0
    return x, y, a / a.sum(), b / b.sum()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("processes")
    torch.save(clouds(), folder / "clouds.pt")
    command = [sys.executable, "-c", "".join(textwrap.dedent(script) for script in (COMMON, SOLVES, MISTAKES))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, str(rank), str(folder)], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors[0][-2000:] + errors[1][-2000:]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def alone(cost, a, b=None, epsilon=1.0):
    """Plain sweeps on the whole matrix: potentials with `a.f = b.g`, and the plan."""
    x, y, weights, given = clouds()
    a, b = torch.full_like(weights, 0.01) if a is None else a, given if b is None else b
    problem = pose(x, y, a, b, cost)
    cost, g = problem.dense(), torch.zeros_like(b)
    for _ in range(500):
        f = -epsilon * torch.logsumexp((g - cost) / epsilon + b.log(), 1)
        g = -epsilon * torch.logsumexp((f[:, None] - cost) / epsilon + a.log()[:, None], 0)
    shift = (a @ f - b @ g) / 2
    f, g = f - shift, g + shift
    return f, g, a[:, None] * b * ((f[:, None] + g - cost) / epsilon).exp(), cost


def test_two_processes_give_the_plan_of_one(outcomes):
    x, y, a, b = clouds()
    first, second = (outcome["solved"] for outcome in outcomes)
    for name, cost, weights in (("uniform", SquaredEuclidean(), None), ("weighted", PNorm(2), a)):
        f, g, P, C = alone(cost, weights)
        both = {key: torch.cat([first[name][key], second[name][key]]) for key in ("f", "rows", "map")}
        torch.testing.assert_close(both["f"], f, atol=1e-6, rtol=0)
        torch.testing.assert_close(both["rows"], P.sum(1), atol=1e-8, rtol=0)
        torch.testing.assert_close(both["map"][:90], (P @ y / P.sum(1, keepdim=True))[:90], atol=1e-6, rtol=0)
        for out in (first[name], second[name]):
            torch.testing.assert_close(out["g"], g, atol=1e-6, rtol=0)
            torch.testing.assert_close(out["value"], (P * C).sum(), atol=1e-7, rtol=0)
            assert float((out["columns"] - b).abs().sum()) < 2e-8 and float(out["error"]) < 1e-8
        assert torch.equal(first[name]["g"], second[name]["g"])  # every process takes the same decisions
    whole = StreamedTransform(pose(x, y, a, b, SquaredEuclidean()), 0.001)
    expected = whole.columns(whole.rows(torch.zeros_like(b)))
    torch.testing.assert_close(first["columns"], expected, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(first["total"], torch.ones((), dtype=torch.float64))
    g = alone(SquaredEuclidean(), None, b=torch.full_like(b, 1 / 60))[1]
    torch.testing.assert_close(second["float32"], g.float(), atol=1e-3, rtol=0)


def test_a_mistake_on_one_process_stops_both(outcomes):
    first, second = (outcome["errors"] for outcome in outcomes)
    assert "another process was given bad input" in first[0] and "x has 2 non-finite values" in second[0]
    assert first[1] == second[1] and "must be the same on every process" in first[1]
    assert first[2] == second[2] and "a sums to 2 over all processes" in first[2]
    assert "another process" in first[3] and "every process needs points with mass" in second[3]
    assert first[4] == second[4] and "a be given to all or none" in first[4]
    assert "another process" in first[5] and "epsilon must be positive" in second[5]
    assert first[6] == second[6] and "all options must be the same" in first[6]
    assert first[7] == second[7] and "one problem" in first[7]


def test_without_a_group_there_is_nothing_to_share():
    with pytest.raises(InputError, match="init_process_group"):
        solve_sharded(torch.randn(3, 2), torch.randn(3, 2), epsilon=0.1)


def test_a_group_of_one_is_the_plain_transform(tmp_path):
    x, y, a, b = clouds()
    problem = pose(x, y, a, b, SquaredEuclidean())
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        plain, sharded = StreamedTransform(problem, 0.1), ShardedTransform(StreamedTransform(problem, 0.1))
        f = plain.rows(torch.zeros_like(b))
        torch.testing.assert_close(sharded.columns(f), plain.columns(f))
    finally:
        torch.distributed.destroy_process_group()
