"""The methods: a line for each, and what kinds of them there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks.few_step.lab import Lab, Made
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
from pushforward.networks import MLP, GradientOf
from pushforward.objectives import (
    Adaptive,
    AlphaFlow,
    Consistency,
    FenchelYoungMatching,
    FlowMatching,
    MeanFlow,
    ModularMeanFlow,
    Neighbours,
    NoiseDivergence,
    Objective,
    PseudoHuber,
    Shortcut,
    TimePairs,
    Uniform,
)
from pushforward.paths import Affine, Trig, VariationalNoise
from pushforward.solvers import (
    AccelerationSteps,
    DormandPrince,
    FixedStep,
    Jump,
    PolicySteps,
    Program,
    Renoised,
    Solver,
)
from pushforward.solvers.solver import FixedMethod

__all__ = ["FINE", "FLOWS", "Method", "methods"]

COUNTS, FINE = (1, 2, 4, 8), 100
Solve: TypeAlias = Callable[[int], Solver]
"""From a number of evaluations to the solver that takes them."""


@dataclass(frozen=True)
class Method:
    """How `made(lab, n)` gets a transport whose own solver takes n evaluations, for the `counts` n that it can; an
    adaptive solver takes what it needs. `objective` is what is timed, where that alone is special about it.
    """

    name: str
    made: Callable[[Lab, int], Made]
    counts: tuple[int, ...] = COUNTS
    objective: Objective | None = None


def euler(evaluations: int) -> Solver:
    """Euler's method."""
    return FixedStep("euler", evaluations)


def taking(method: FixedMethod, stages: int, filling: int = 0) -> Solve:
    """A method of so many `stages` a step, and evaluations more to fill its memory at the first."""
    return lambda evaluations: FixedStep(method, (evaluations - filling) // stages)


def from_data(name: str, solve: Solve = euler, counts: tuple[int, ...] = COUNTS, **pieces: Any) -> Method:
    """Train on the data with the whole budget; `pieces` are arguments of `fit`."""

    def made(lab: Lab, evaluations: int) -> Made:
        return lab.trained(**pieces).solved(solve(evaluations))

    return Method(name, made, counts, None if "path" in pieces else pieces.get("objective"))


def distilled(
    name: str,
    method: Callable[[int], Distillation],
    solve: Solve | None,
    counts: tuple[int, ...] = COUNTS,
    trainings: int = 1,
    **teacher: Any,
) -> Method:
    """Train a teacher, and distil it: the `trainings` of the method and the teacher's have equal parts of the budget.

    Without `solve` there is a student for each number of evaluations, solved as it wants to be; `teacher` are arguments
    of `fit`.
    """

    def made(lab: Lab, evaluations: int) -> Made:
        steps = evaluations if solve is None else max(COUNTS)
        student = lab.student(lab.trained(1 + trainings, **teacher), method(evaluations), steps, trainings)
        return student if solve is None else student.solved(solve(evaluations))

    return Method(name, made, counts)


def methods(pairs: int) -> list[Method]:
    """Return every method, teachers making so many `pairs` where they make them beforehand."""
    return [*_flows(), *_students(pairs), *_maps(pairs)]


FLOWS = ("flow matching", "flow matching, OT pairs")


def _flows() -> list[Method]:
    """Flow matching and the solvers of the shelf, which train nothing further."""
    even = tuple(n for n in COUNTS if n > 1)
    return [
        from_data(FLOWS[0], counts=(*COUNTS, FINE), objective=FlowMatching()),
        from_data(f"{FLOWS[0]}, midpoint", taking("midpoint", 2), even, objective=FlowMatching()),
        from_data(f"{FLOWS[0]}, Heun", taking("heun", 2), even, objective=FlowMatching()),
        from_data(f"{FLOWS[0]}, AB2", taking("ab2", 1, 1), even, objective=FlowMatching()),
        from_data(f"{FLOWS[0]}, pseudo-corrector", taking("pseudo-corrector", 1, 1), even, objective=FlowMatching()),
        from_data(f"{FLOWS[0]}, Dormand-Prince", lambda _: DormandPrince(1e-3), (FINE,), objective=FlowMatching()),
        distilled(f"{FLOWS[0]}, Bellman grid", lambda _: Boss(refine=False), None, even, 0, objective=FlowMatching()),
        from_data(FLOWS[1], counts=(*COUNTS, FINE), paired=True),
        from_data(f"{FLOWS[1]}, midpoint", taking("midpoint", 2), even, paired=True),
        from_data(f"{FLOWS[1]}, AB2", taking("ab2", 1, 1), even, paired=True),
    ]  # fmt: skip


def _students(pairs: int) -> list[Method]:
    """Flows made straight, in windows, on grids, and with cheaper steps."""
    curved = {"path": Affine(Trig()), "predicts": "data"}
    ddim: Solve = lambda n: FixedStep("ddim", n)  # noqa: E731
    huber = FlowMatching(distance=PseudoHuber())
    diffusion = Reflow(pool=pairs, solver=FixedStep("ddim", 100), objective=huber, sampler=FixedStep("ddim"))
    potential = {"network": GradientOf(MLP(width=64, depth=3, activation="silu")), "objective": FenchelYoungMatching()}
    convex = Reflow(pool=pairs, objective=FenchelYoungMatching())
    return [
        distilled("2-rectified flow", lambda _: Reflow(pool=pairs), euler),
        distilled("rectified flow, distilled", lambda n: Reflow(0, at_steps=True, pool=pairs), None, (1,)),
        distilled("2-rectified flow, distilled", lambda n: Reflow(1, at_steps=True, pool=pairs), None, (1,), 2),
        distilled("2-rectified flow, OT pairs", lambda _: Reflow(pool=pairs), euler, paired=True),
        distilled(
            "rectified flow, OT pairs, distilled", lambda n: Reflow(0, at_steps=True, pool=pairs), None, (1,),
            paired=True,
        ),
        distilled("c-rectified flow", lambda _: convex, euler, **potential),
        distilled("rectified diffusion", lambda _: diffusion, ddim, **curved),
        distilled("PeRFlow", lambda n: PerFlow(min(n, 4)), None, (2, 4, 8)),
        distilled(
            "constant acceleration", lambda _: ConstantAcceleration(pool=pairs), lambda n: AccelerationSteps(n - 1),
            (2, 4, 8), 2,
        ),
        distilled("BOSS", lambda _: Boss(pool=min(pairs, Boss.pool)), None, (2, 4, 8)),
        distilled("FlowTurbo", lambda _: FlowTurbo(), lambda n: Program(turbo(n)), (2, 4, 8)),
    ]  # fmt: skip


def turbo(evaluations: int) -> str:
    """Return FlowTurbo's program of so many evaluations of the flow, a quarter as many steps of the refiner at the end.

    >>> turbo(2), turbo(8)
    ('H1R1', 'H1P6R2')
    """
    corrected = evaluations - 2
    return "H1" + (f"P{corrected}" if corrected else "") + f"R{max(1, evaluations // 4)}"


def _maps(pairs: int) -> list[Method]:
    """Flow maps, from data and from a flow, with the options of their recipes."""
    times, neighbours = TimePairs(Uniform(), 0.5), Neighbours(last=80)
    rule = {"times": times, "weighting": Adaptive(0.0)}
    learnt = {
        "path": VariationalNoise(),
        "objective": NoiseDivergence(strength=0.03, base=Consistency(times=neighbours)),
    }
    return [
        from_data("MeanFlow", Jump, objective=MeanFlow(**rule)),
        from_data("MeanFlow, OT pairs", Jump, objective=MeanFlow(**rule), paired=True),
        from_data("alpha-Flow", Jump, objective=AlphaFlow(**rule)),
        from_data("Modular MeanFlow", Jump, objective=ModularMeanFlow(**rule)),
        from_data("shortcut", Jump, objective=Shortcut()),
        from_data("consistency", Renoised, objective=Consistency(times=neighbours)),
        from_data("consistency, learnt noise", Renoised, **learnt),
        distilled("MeanFlow, distilled", lambda _: MeanFlowDistillation(), Jump),
        distilled("MeanFlow, staged", lambda _: StagedMeanFlow(), Jump),
        distilled("Re-MeanFlow", lambda _: ReMeanFlow(pool=pairs, times=times), Jump),
        distilled("shortcut, distilled", lambda _: ShortcutDistillation(), Jump),
        distilled("consistency, distilled", lambda _: ConsistencyDistillation(times=neighbours), Renoised),
        distilled("pi-Flow", lambda _: PiFlow(budgets=COUNTS), PolicySteps),
        distilled("MDT-dist", lambda _: MDTDistillation(), euler),
    ]  # fmt: skip
