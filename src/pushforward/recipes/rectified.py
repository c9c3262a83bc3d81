"""Rectified flows, round after round: how straight they become, what their pairs cost, and what one step gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pushforward.configuration import build
from pushforward.distillation import Reflow, distil
from pushforward.maps import FlowTransport, SelfGenerated
from pushforward.measures import Measure, as_measure
from pushforward.metrics import straightness
from pushforward.objectives import Fixed, FlowMatching
from pushforward.randomness import seeded
from pushforward.recipes.distances import mean_square, root_mean_square, sliced
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.solvers import GridSolver
from pushforward.training import Trainer, fit, fit_config

__all__ = ["Rectified"]

ROWS, FINE = 10_000, 100


@dataclass(frozen=True)
class Rectified(Experiment):
    """Fit a flow, the 1-rectified one, and rectify it further: `rounds` in all.

    `config` holds arguments of `fit`, `trainer` the options of the later trainings, whose pairs are `pool` of the
    flow before them, solved by `pairs`, and `objective` what those minimise. Figures of the k-rectified flow, on
    10,000 points and with `sampler`: `sliced W2@N kRF` at N = 1, 4 and 100 steps; `straightness kRF`, the bend of
    its paths in 100 steps; `cost kRF`, the mean squared length of its pairs; `deviation@1 kRF`, that of points
    after one step; `one step kRF`, the root mean squared distance of these from the ends of 100 steps. `independent
    cost` is that of pairs at random, `floor` the sliced W2 of two samples of the target. With `distilled`, also
    `sliced W2@1 distilled`, the 1-rectified flow trained at t = 0 alone on its own pairs, and `one step back` of
    the one trained at t = 1 alone, against that flow's pull (`back 1RF`: that flow in one step).
    """

    config: dict[str, Any]
    rounds: int = 2
    trainer: dict[str, Any] = field(default_factory=dict)
    pool: int = 10_000
    sampler: dict[str, Any] = field(
        default_factory=lambda: {"class_path": "FixedStep", "init_args": {"method": "euler"}}
    )
    objective: dict[str, Any] = field(default_factory=lambda: {"class_path": "FlowMatching"})
    pairs: dict[str, Any] = field(default_factory=lambda: {"class_path": "DormandPrince"})
    distilled: bool = False

    def run(self, seed: int) -> Figures:
        """Train every round and measure each."""
        target = as_measure(build(self.config["target"]))
        source = as_measure(build(self.config["source"]), like=target)
        x0, x1, fresh = (
            measure.sample(ROWS, generator=seeded(seed, "rows", name))
            for measure, name in ((source, "source"), (target, "target"), (target, "fresh"))
        )
        figures = {
            "independent cost": mean_square(x1, x0),
            "floor": sliced(fresh, x1),
        }
        flow = first = fit_config(self.config | {"seed": seed})
        for number in range(1, self.rounds + 1):
            if number > 1:
                method = Reflow(1, pool=self.pool, solver=build(self.pairs), objective=build(self.objective))
                flow = self._reflow(flow, method, source, target, seed + 10 * number)
            figures |= self._figures(flow, f"{number}RF", x0, x1)
        if self.distilled:
            student = self._reflow(first, Reflow(0, at_steps=True, pool=self.pool), source, target, seed)
            figures |= {"sliced W2@1 distilled": sliced(student.push(x0), x1)}
            figures |= self._inverse(first, source, target, x1, seed)
        return figures

    def _reflow(
        self, flow: FlowTransport, method: Reflow, source: Measure, target: Measure, seed: int
    ) -> FlowTransport:
        return distil(flow, method, steps=1, source=source, target=target, trainer=Trainer(**self.trainer), seed=seed)

    def _figures(self, flow: FlowTransport, name: str, x0: Tensor, x1: Tensor) -> Figures:
        paths = flow.trajectory(x0, times=FINE + 1, solver=self._solver(FINE))
        assert paths.path is not None and paths.nodes is not None
        moved = {FINE: paths.x} | {steps: flow.solve(x0, solver=self._solver(steps)).x.detach() for steps in (1, 4)}
        return {f"sliced W2@{steps} {name}": sliced(x, x1) for steps, x in moved.items()} | {
            f"straightness {name}": float(straightness(paths.path, paths.nodes.to(paths.path))),
            f"cost {name}": mean_square(moved[FINE], x0),
            f"deviation@1 {name}": float(moved[1].std(0).mean()),
            f"one step {name}": root_mean_square(moved[1], moved[FINE]),
        }

    def _solver(self, steps: int) -> GridSolver:
        arguments = self.sampler["init_args"] | {"steps": steps}
        return build({"class_path": self.sampler["class_path"], "init_args": arguments})

    def _inverse(self, flow: FlowTransport, source: Measure, target: Measure, x1: Tensor, seed: int) -> Figures:
        back = fit(
            source, target, init=flow, coupling=SelfGenerated(pool=self.pool), objective=FlowMatching(Fixed(1.0)),
            trainer=Trainer(**self.trainer), seed=seed, normalise="none",
        )  # fmt: skip
        exact = flow.pull(x1[:4000], tolerance=1e-5)
        once = {"one step back": back, "back 1RF": flow}
        return {
            name: root_mean_square(each.pull(x1[:4000], steps=1, method="euler"), exact) for name, each in once.items()
        }

    def pieces(self) -> list[str]:
        """Return the classes used."""
        times = ["Discrete", "Fixed"] if self.distilled else []
        return [*class_names(self.config), *class_names(self.objective), "SelfGenerated", "Reflow", *times]
