"""`pushforward multimarginal`: the signature of the library's `fit_multimarginal` is the schema."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from pushforward import training
from pushforward.cli.configured import Command, run_command
from pushforward.maps import MultimarginalTransport

__all__ = ["COMMAND", "run"]


def run(argv: list[str]) -> int:
    """Learn flows between any two of several distributions.

    One network learns what a mixture of one point of each says about its parts. The flow between any two of them, along
    their edge or by the route of least cost through the others, is then taken out with pushforward between.

    Ends with exit code 1 when the training diverged and 130 when it was interrupted; both go on with --resume.
    """
    return run_command(COMMAND, argv, _farewell)


def _farewell(out: Path, config: dict[str, Any], transport: MultimarginalTransport) -> str:
    place, marginals = shlex.quote(str(out)), config["marginals"]
    numbered = [f"  {number}  {name}" for number, name in enumerate(marginals)]
    last = len(marginals) - 1
    return "\n".join(
        [
            f"the transport is in {out}; its marginals are\n", *numbered, "\nnext:",
            f"  pushforward between {place} 0 {last} -o flow",
            f"  pushforward push flow {shlex.quote(str(marginals[0]))} -o OUTPUT",
        ]
    )  # fmt: skip


COMMAND = Command(
    name="multimarginal",
    function=training.fit_multimarginal,
    words=("marginals",),
    out="RUN",
    often=("out", "seed", "normalise"),
    swap="--network MLP --network.width 128 --trainer.steps 3000",
    examples="""\
pushforward multimarginal day0.csv day1.csv day2.csv --out days
pushforward multimarginal gaussian 8gaussians-torchcfm moons-torchdyn --out three""",
    about={
        "marginals": "the distributions: files, PATH[:KEY][:COLUMN=VALUE], or named measures",
        "out": "directory for the transport and all that belongs to it",
    },
    many=True,
)
