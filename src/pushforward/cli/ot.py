"""`pushforward ot`."""

from __future__ import annotations

import json as to_json
import shlex
import time
from pathlib import Path
from typing import Annotated, Any

import torch

from pushforward.cli.arguments import Mark
from pushforward.cli.data import Device
from pushforward.cli.ot_figures import figures_of, page_of, write_plan
from pushforward.cli.ot_problem import (
    read_cost,
    read_epsilon,
    read_marginals,
    read_regularization,
    read_sides,
    take_rows,
)
from pushforward.configuration import describe
from pushforward.errors import InputError
from pushforward.maps.plan import PlanTransport
from pushforward.measures import Empirical, Measure
from pushforward.ot import Plan, solve
from pushforward.ot.solve import Method
from pushforward.training import open_run

__all__ = ["ot"]


def ot(
    source: str,
    target: str,
    *,
    epsilon: Annotated[str | None, Mark(shows="X")] = None,
    cost: Annotated[str, Mark(shows="CLASS")] = "SquaredEuclidean",
    method: Method = "auto",
    tolerance: float | None = None,
    max_iterations: int | None = None,
    unbalanced: Annotated[str | None, Mark(shows="RHO[,RHO]")] = None,
    mass: float | None = None,
    quadratic: Annotated[float | None, Mark(shows="GAMMA")] = None,
    k_sparse: Annotated[str | None, Mark(shows="K,GAMMA")] = None,
    rows: int | None = None,
    seed: int = 0,
    output: Annotated[str | None, Mark(short="-o", shows="PLAN.npz")] = None,
    threshold: float = 1e-6,
    map: Annotated[str | None, Mark(shows="RUN")] = None,
    json: bool = False,
    device: Device = "auto",
) -> None:
    """Move one set of points onto another at the least cost.

    Prints what the cheapest plan costs, and a proof of how near to the best it is. The plan is exact unless --epsilon
    or a penalty is given. Points weigh alike unless :@COLUMN names their weights. All is computed in double precision.

    Args:
        source: points to move: a file, PATH[:KEY][:COLUMN=VALUE][:@WEIGHT], or a named measure (pushforward help data).
        target: where they are moved to.
        epsilon: blur the plan: a number in units of the cost, or relative to the costs, as "0.05 mean" (or max, std).
        cost: what it costs to move a point; options follow the class, as in "PNorm p=1 power=2".
        method: the solver; auto takes the fastest that fits.
        tolerance: when to stop: the error of the plan's sums that is allowed.
        max_iterations: stop after so many, converged or not.
        unbalanced: mass may be lost and made at this price, in units of the cost; one for both sides or one each, inf
            for neither.
        mass: move only so much of the mass (1 is all), where that is cheapest.
        quadratic: penalise the squares of the plan's entries, which leaves few of them.
        k_sparse: the same, and at most K sources for each target.
        rows: draw this many rows of either side instead of taking all; needed where one has none of its own, as
            gaussian.
        seed: fixes which rows are drawn.
        output: write the plan: entries i, j, mass; potentials f, g; weights a, b; points x, y; a description.
        threshold: the entries left out of PLAN.npz hold at most this share of the mass.
        map: write a transport to this directory, which carries new points as the plan carries its own.
        json: print the figures as JSON.
        device: auto takes a GPU when there is one.

    Examples:
        pushforward ot before.csv after.csv
        pushforward ot before.csv after.csv --epsilon "0.05 mean" -o plan.npz
        pushforward ot cells.csv:x,y:day=1 cells.csv:x,y:day=2 --map days
        pushforward ot gaussian:2 8gaussians --rows 500 --cost "PNorm p=1"
    """  # fmt: skip
    asked = {
        "cost": read_cost(cost),
        "epsilon": read_epsilon(epsilon),
        "regularization": read_regularization(quadratic, k_sparse),
        "marginals": read_marginals(unbalanced, mass),
        "mass": mass,
        "method": method,
        "tolerance": tolerance,
        "max_iterations": max_iterations,
    }
    if unbalanced is not None and epsilon is None:
        raise InputError("--unbalanced needs --epsilon as well, as in --epsilon '0.05 mean'")
    _check_output(output, threshold)
    _check_map(map, extends=asked["regularization"] is None)
    sides = read_sides(source, target)
    where = "cuda" if device == "auto" and torch.cuda.is_available() else "cpu"
    (x, a), (y, b) = (
        take_rows(side, text, rows, block=block, seed=seed, device=where)
        for side, text, block in zip(sides, (source, target), (0, 1), strict=True)
    )
    started = time.perf_counter()
    plan = solve(x, y, a, b, **asked)
    seconds = time.perf_counter() - started
    figures = figures_of(plan, threshold) | {"time": seconds}
    made = {"source": source, "target": target, "rows": rows, "seed": seed} | describe(asked)
    if output is not None:
        write_plan(output, plan, threshold, made | figures)
    if map is not None:
        _write_map(map, plan, sides[1], made)
    print(to_json.dumps(made | figures, indent=1) if json else page_of(source, target, plan, figures))
    if not json:
        _say_where(source, output, map)


def _check_output(path: str | None, threshold: float) -> None:
    if not 0 <= threshold < 1:
        raise InputError(f"--threshold is a share of the mass between 0 and 1, got {threshold}")
    if path is None:
        return
    if Path(path).suffix.lower() != ".npz":
        raise InputError(f"cannot write {path!r}: a plan is written as .npz, as in -o plan.npz")
    if not Path(path).parent.is_dir():
        raise InputError(f"cannot write {path!r}: there is no folder {str(Path(path).parent)!r}: make it first")


def _check_map(run: str | None, *, extends: bool) -> None:
    if run is None:
        return
    if not extends:
        raise InputError("--map needs an exact plan or one with --epsilon: a penalised plan does not carry new points")
    if Path(run).is_file():
        raise InputError(f"{run} is a file: --map needs a directory")
    if any((Path(run) / name).exists() for name in ("config.yaml", "transport.json")):
        raise InputError(f"{run} already holds a run: name another directory for --map, or remove it")


def _write_map(run: str, plan: Plan, target: Measure, made: dict[str, Any]) -> None:
    names = target.names if isinstance(target, Empirical) else None
    transport = PlanTransport.of(plan, event_shape=target.event_shape, names=names)
    transport.save(open_run(run, made, resume=False, overwrite=False))


def _say_where(source: str, output: str | None, run: str | None) -> None:
    if output is not None:
        print(f"\nthe plan is in {output}")
    if run is not None:
        again = f"pushforward push {shlex.quote(run)} {shlex.quote(source)} -o moved.csv"
        print(f"\nthe transport is in {run}; next:\n  {again}")
