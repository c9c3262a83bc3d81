"""A task for a distillation: the flow, the data, the steps, and trainings that are kept and resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pushforward.contracts import Coupling
from pushforward.contracts import Path as PathContract
from pushforward.maps import FlowTransport, load
from pushforward.measures import Measure
from pushforward.networks import Adapter, Architecture
from pushforward.objectives import Objective
from pushforward.randomness import seeded
from pushforward.solvers import Solver
from pushforward.training import Trainer, both_measures, fit

__all__ = ["STAGES", "TEACHER", "Task"]

STAGES, TEACHER = "stages", "teacher"
"""The folder of a run in which its trainings lie, each in one of its own, and the name of the one with the teacher."""


@dataclass(frozen=True)
class Task:
    """A trained flow that is to do with `steps` steps, and what may be used for it.

    `source`, `target` and `condition` are the data in any form that `fit` takes, and `trainer` how each training is to
    be done unless a method knows better. With a `directory`, trainings lie in its folder `stages`. Trainings that go on
    from a flow are done through the `adapter`, if there is one, on what the method itself makes of the flow.
    """

    teacher: FlowTransport
    source: Any
    target: Any
    condition: Any
    steps: int
    trainer: Trainer
    seed: int = 0
    directory: Path | None = None
    show_progress: bool | None = None
    adapter: Adapter | None = None

    @property
    def measures(self) -> tuple[Measure, Measure]:
        """The source and the target."""
        return both_measures(self.source, self.target, self.condition)

    def fit(
        self,
        stage: str,
        *,
        init: FlowTransport | None = None,
        teacher: FlowTransport | None = None,
        network: Architecture | None = None,
        path: PathContract | None = None,
        coupling: Coupling | None = None,
        objective: Objective | None = None,
        predicts: str | Sequence[str] = "velocity",
        adapter: Adapter | None = None,
        solver: Solver | None = None,
        trainer: Trainer | None = None,
    ) -> FlowTransport:
        """Return what `pushforward.fit` makes of these pieces on the data of the task.

        `stage` names the training: it has random numbers and a folder of its own. One that is finished there is read
        and not done again, one that was interrupted goes on.
        """
        folder = None if self.directory is None else self.directory / STAGES / stage
        if folder is not None and (folder / "transport.json").exists():
            return load(folder)
        carried = self._carried(adapter) if init else adapter
        return fit(
            self.source, self.target, condition=self.condition, network=network, coupling=coupling, path=path,
            objective=objective, predicts=predicts, solver=solver, trainer=trainer or self.trainer, init=init,
            adapter=carried, teacher=teacher, seed=seeded(self.seed, "stage", stage).initial_seed() % 2**31,
            out=folder, resume=folder is not None and (folder / "config.yaml").exists(),
            show_progress=self.show_progress,
        )  # fmt: skip

    def _carried(self, adapter: Adapter | None) -> Adapter | None:
        return adapter if self.adapter is None else self.adapter if adapter is None else self.adapter.after(adapter)
