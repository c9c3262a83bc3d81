"""`pushforward fit`: the signature of the library's `fit` is the schema."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from pushforward import training
from pushforward.cli.configured import Command, run_command
from pushforward.cli.pieces import classes_of
from pushforward.configuration import Recorded, find_class
from pushforward.errors import InputError
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical
from pushforward.networks import Architecture
from pushforward.training import read_history

__all__ = ["COMMAND", "run"]


def run(argv: list[str]) -> int:
    """Learn a flow that moves SOURCE onto TARGET.

    With nothing else given: an MLP for vectors and a U-Net for images, straight paths, flow matching; pairs by optimal
    transport between two sets of samples, independent pairs where the source is noise. RUN holds the transport,
    config.yaml with every option, metrics.jsonl and checkpoints.

    Ends with exit code 1 when the training diverged and 130 when it was interrupted; both go on with --resume.
    """
    return run_command(COMMAND, argv, _farewell)


def _check_network(values: dict[str, Any]) -> None:
    """Refuse a bare module: its shape would not be known, and it could not be described and loaded again."""
    description = values["network"]
    if description and not issubclass(find_class(description["class_path"]), Architecture | Recorded):
        known, name = ", ".join(classes_of(Architecture)), description["class_path"]
        raise InputError(
            f"network cannot be {name!r}: wanted {known}, or an Architecture or Recorded module of your own"
        )


def _farewell(out: Path, config: dict[str, Any], transport: FlowTransport) -> str:
    rows = read_history(out / "metrics.jsonl")
    loss = f", loss {rows[-1]['loss']:.4g} at step {int(rows[-1]['step'])}" if rows else ""
    place, source = shlex.quote(str(out)), shlex.quote(str(config["source"]))
    draw = " --rows 100" if transport.source is not None and not isinstance(transport.source, Empirical) else ""
    some = next(iter(transport.field.schema.items()), None)
    condition = f" --condition {some[0]}={_example(some[1])}" if some and draw else ""
    result = "moved.csv" if len(transport.event_shape) == 1 else "moved/"
    return (
        f"the transport is in {out}{loss}\n\nnext:\n"
        f"  pushforward push {place} {source}{draw}{condition} -o {result}\n"
        f"  pushforward evaluate {place}\n"
        f"  pushforward report {place}"
    )


def _example(column: Any) -> Any:
    return column.categories[0] if column.categories else round(column.shift, 2)


COMMAND = Command(
    name="fit",
    function=training.fit,
    words=("source", "target"),
    out="RUN",
    often=("out", "condition", "predicts", "normalise", "init", "teacher", "seed"),
    swap="--network MLP --network.width 512 --objective FlowMatching --objective.time LogitNormal",
    examples="""\
pushforward fit gaussian moons-torchdyn --out moons
pushforward fit cells.h5ad:obsm/X_pca:day=2 cells.h5ad:obsm/X_pca:day=3 --out days
pushforward fit gaussian digits --condition label --out digits --trainer.steps 2000
pushforward fit a.csv b.csv --out run --network MLP --network.width 512 --coupling MinibatchOT
pushforward fit --config run/config.yaml --out again --seed 1""",
    about={
        "source": "where points come from, at t = 0: a file or a named measure (pushforward help data)",
        "condition": "columns of TARGET that its rows are conditioned on, a or a,b",
        "network": "architecture of the velocity field",
        "init": "directory of a trained flow to go on from, whose network, path and units are kept",
        "teacher": "directory of a trained flow that the coupling learns from, if it is not that of init",
        "out": "directory for the transport and all that belongs to it",
    },
    defaults={"path": "Affine", "objective": "FlowMatching"},
    as_typed=("source", "target", "condition", "init", "teacher"),
    check=_check_network,
)
