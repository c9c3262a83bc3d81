"""`distil`: from a trained flow to one that needs few evaluations, the method swappable."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from pushforward.configuration import describe
from pushforward.distillation.adapter_files import ADAPTER, save_adapter
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.reflow import Reflow
from pushforward.distillation.task import STAGES, TEACHER, Task
from pushforward.errors import InputError
from pushforward.maps import FlowTransport, load
from pushforward.networks import Adapter, changed_layers
from pushforward.training import Trainer, as_written, is_main_process, open_run, read_config

__all__ = ["distil"]


def distil(
    teacher: Any,
    method: Distillation | None = None,
    *,
    steps: int = 4,
    source: Any = None,
    target: Any = None,
    condition: Any = None,
    trainer: Trainer | None = None,
    adapter: Adapter | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    show_progress: bool | None = None,
) -> FlowTransport:
    """Make out of a trained flow one whose `push` takes `steps` steps, and return it as a transport.

    Args:
        teacher: a trained flow, or the directory of its run, which is left as it is.
        method: how it is distilled; `Reflow` unless said otherwise.
        steps: steps of the solver that the result has.
        source: where points come from, as for `fit`; that of the teacher's run if not given.
        target: where they should go, likewise.
        condition: what target rows are conditioned on, likewise.
        trainer: the optimisation of each training that the method does.
        adapter: what is trained in the place of the teacher's weights: `LoRA`, whose changes are then also kept alone,
            in the folder `adapter` of the run, for other flows (`Plugged`).
        seed: the only source of randomness.
        out: directory for the transport and its configuration; its folder `stages` holds the trainings, each a run of
            its own, and the teacher.
        resume: go on where a run in `out` stopped.
        overwrite: replace a run in `out`.
        show_progress: a progress line on standard error; `None` shows it on a terminal only.

    Raises:
        InputError: for bad data or options, before any work.
        Diverged: when a loss stops being finite.
    """
    if steps < 1:
        raise InputError(f"distil needs at least one step, got steps={steps}")
    method, trainer, directory = method or Reflow(), trainer or Trainer(), None if out is None else Path(out)
    flow = _flow(teacher)
    sides = _sides(teacher, {"source": source, "target": target, "condition": condition})
    config = {
        "teacher": as_written(teacher), "method": describe(method), "steps": steps,
        **{name: as_written(value) for name, value in sides.items()},
        "trainer": describe(trainer)["init_args"], "adapter": describe(adapter), "seed": seed,
    }  # fmt: skip
    if directory is not None and is_main_process():
        open_run(directory, config, resume=resume, overwrite=overwrite)
        flow = _kept(flow, directory / STAGES / TEACHER)
    student = method(Task(flow, **sides, steps=steps, trainer=trainer, seed=seed, directory=directory,
                          show_progress=show_progress, adapter=adapter))  # fmt: skip
    if directory is not None and is_main_process():
        student.save(directory)
        if changed_layers(student.field.network):
            save_adapter(student, directory / ADAPTER)
    return student.eval()


def _flow(teacher: Any) -> FlowTransport:
    flow = load(teacher) if isinstance(teacher, str | Path) else deepcopy(teacher)
    if not isinstance(flow, FlowTransport):
        raise InputError(f"the teacher is a {type(flow).__name__}: only a flow can be distilled")
    return flow.to("cpu").eval()


def _sides(teacher: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return the data that are given, and those of the teacher's run where nothing is."""
    of_run = isinstance(teacher, str | Path) and (given["source"] is None or given["target"] is None)
    known = read_config(teacher) if of_run else {}
    found = {name: known.get(name) if value is None else value for name, value in given.items()}
    for name, value in found.items():
        if (value is None and name != "condition") or (isinstance(value, str) and value.startswith("<")):
            raise InputError(f"the teacher's run does not say what its {name} was (got {value}): give {name}")
    return found


def _kept(flow: FlowTransport, folder: Path) -> FlowTransport:
    """Keep the teacher beside its student; a run that goes on learns from the one that it began with."""
    if (folder / "transport.json").exists():
        return load(folder)
    flow.save(folder)
    return flow
