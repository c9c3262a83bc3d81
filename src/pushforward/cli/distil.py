"""`pushforward distil`: the signature of the library's `distil` is the schema."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from pushforward import distillation
from pushforward.cli.configured import Command, run_command
from pushforward.cli.pieces import classes_of
from pushforward.distillation import Distillation
from pushforward.maps import FlowTransport
from pushforward.report.run import before_and_after, report_run

__all__ = ["COMMAND", "run"]


def run(argv: list[str]) -> int:
    """Make out of the flow in RUN one that needs few evaluations of its network.

    STUDENT holds the new transport, which push, pull, evaluate and report take as any other; report.html compares it
    with its teacher at every number of evaluations. Its folder stages holds the trainings, each a run of its own, and a
    copy of the teacher.

    Ends with exit code 1 when a training diverged and 130 when it was interrupted; both go on with --resume.
    """
    return run_command(COMMAND, argv, _farewell)


def _class_name(key: str, text: str) -> str:
    """Let methods be called by their names as they are spoken: `reflow` is `Reflow`."""
    if key != "method":
        return text
    known = {name.removesuffix("Distillation").lower(): name for name in classes_of(Distillation)}
    return known.get(text.replace("-", "").lower(), text)


def _farewell(out: Path, config: dict[str, Any], student: FlowTransport) -> str:
    page = report_run(out)
    table = [("", "evaluations", "teacher", "student")]
    for metric, count, before, after in before_and_after(out):
        table.append((metric, str(count), _shown(before), _shown(after)))
    lines = [f"  {name:<16}{count:>11}{before:>12}{after:>12}" for name, count, before, after in table]
    place, source = shlex.quote(str(out)), shlex.quote(str(config.get("source", "INPUT")))
    return "\n".join(
        [
            f"the student is in {out}\n", *lines, f"\n{page} shows more\n\nnext:",
            f"  pushforward push {place} {source} -o OUTPUT",
        ]
    )  # fmt: skip


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


COMMAND = Command(
    name="distil",
    function=distillation.distil,
    words=("teacher",),
    out="STUDENT",
    often=("out", "steps", "source", "target", "condition", "seed"),
    swap="--method reflow --method.rounds 2 --method.objective FlowMatching --method.objective.time LogitNormal",
    examples="""\
pushforward distil moons --steps 4 --out moons4
pushforward distil moons --method reflow --method.at_steps true --steps 1 --out moons1
pushforward distil digits --method reflow --method.pool 50000 --trainer.steps 20000 --steps 2 --out digits2""",
    about={
        "teacher": "directory of a trained flow, which is left as it is",
        "condition": "columns of the target that its rows are conditioned on; those of the teacher's run if not given",
        "out": "directory for the student and all that belongs to it",
    },
    defaults={"method": "Reflow", "adapter": "LoRA"},
    as_typed=("teacher", "source", "target", "condition"),
    canonical=_class_name,
)
