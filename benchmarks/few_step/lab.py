"""One task and one seed: what is trained there, and what it cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from benchmarks.few_step.tasks import Task
from pushforward.couplings import Independent, MinibatchOT
from pushforward.distillation import Distillation, distil
from pushforward.maps import FlowTransport
from pushforward.solvers import Solver
from pushforward.training import Trainer, fit

__all__ = ["Budget", "Lab", "Made"]


@dataclass(frozen=True)
class Budget:
    """What every method may spend: `steps` of training, of all networks together, in batches of `batch`; and the
    number of teachers' `pairs`, which cost no step, and are counted in the CPU time alone.
    """

    steps: int
    batch: int = 256
    pairs: int = 20_000


@dataclass(frozen=True)
class Made:
    """A transport, of what it was made (`origin`), the steps of training of all networks behind it, and the seconds of
    CPU time that they took.
    """

    origin: str
    transport: FlowTransport
    steps: int
    seconds: float

    def solved(self, solver: Solver) -> Made:
        """Return the same with another solver."""
        return replace(self, transport=self.transport.with_solver(solver))


@dataclass
class Lab:
    """Trains on one task from one seed; what two methods need alike is trained once, and counted for both."""

    task: Task
    seed: int
    budget: Budget
    known: dict[str, Made] = field(default_factory=dict)

    def trained(self, part: int = 1, *, paired: bool = False, **pieces: Any) -> Made:
        """Return a flow of the data, trained for one `part`-th of the budget, on independent pairs or `paired` by
        optimal transport; `pieces` are arguments of `fit`.
        """
        steps = self.budget.steps // part
        optimal = MinibatchOT(condition_weight=0.0 if self.task.condition is None else math.inf)
        pieces = {"network": self.task.network, "coupling": optimal if paired else Independent()} | pieces

        def train() -> FlowTransport:
            trainer = self._trainer(steps, 2e-3)
            return fit(**self._sides, **pieces, trainer=trainer, seed=self.seed, show_progress=False)

        return self._once(f"{steps} {pieces}", train, steps)

    def student(self, teacher: Made, method: Distillation, steps: int, trainings: int) -> Made:
        """Return a teacher distilled with the rest of the budget, which the method's `trainings` share."""
        share = (self.budget.steps - teacher.steps) // max(1, trainings)
        trainer = self._trainer(max(1, share), 1e-3)

        def train() -> FlowTransport:
            return distil(
                teacher.transport,
                method,
                **self._sides,
                steps=steps,
                trainer=trainer,
                seed=self.seed,
                show_progress=False,
            )

        made = self._once(f"{method} in {steps} of {teacher.origin}", train, share * trainings)
        return replace(made, steps=teacher.steps + made.steps, seconds=teacher.seconds + made.seconds)

    @property
    def _sides(self) -> dict[str, Any]:
        return {"source": self.task.source, "target": self.task.target}

    def _trainer(self, steps: int, rate: float) -> Trainer:
        warmup = min(200, steps // 10)
        return Trainer(
            steps=steps, batch_size=self.budget.batch, learning_rate=rate, warmup=warmup, ema=0.995, device="cpu"
        )

    def _once(self, origin: str, train: Callable[[], FlowTransport], steps: int) -> Made:
        if origin not in self.known:
            start = time.process_time()
            with torch.random.fork_rng(devices=[]):
                transport = train()
            self.known[origin] = Made(origin, transport, steps, time.process_time() - start)
        return self.known[origin]
