"""`pushforward log-prob`."""

from __future__ import annotations

import torch

from pushforward.cli.data import (
    Conditions,
    Device,
    Output,
    Run,
    accepted,
    in_batches,
    open_run,
    read_rows,
    rehearse,
    write_rows,
)
from pushforward.errors import InputError
from pushforward.randomness import seeded

__all__ = ["log_prob"]


def log_prob(
    run: Run,
    input: str,
    *,
    output: Output | None = None,
    rows: int | None = None,
    condition: Conditions = None,
    probes: int | None = None,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Tell how likely samples are under the transport.

    Prints the mean negative log-likelihood in nats. Works where the source has a density, as gaussian has.

    Args:
        run: directory of a fitted transport.
        input: samples of the target: a file, PATH[:KEY][:COLUMN=VALUE], or a named measure.
        output: also write the samples, with a column log_prob, to this table.
        rows: draw this many rows of INPUT instead of taking all.
        condition: what to condition on; what is left out is taken from the columns of INPUT.
        probes: estimate the divergence from this many random vectors; exact without, which is slow above some hundred
            dimensions.
        seed: fixes what is drawn.
        device: auto takes a GPU when there is one.

    Examples:
        pushforward log-prob moons test.csv -o scored.csv
    """  # fmt: skip
    transport = open_run(run, device)
    options = accepted(transport.log_prob, {"probes": probes})
    generator = seeded(seed, "log-prob", device=transport.device)
    points = read_rows(transport, input, condition, rows=rows, seed=seed)
    if output is not None:
        rehearse(output, points, points.names, ("log_prob",))
    try:
        with torch.no_grad():
            found = in_batches(lambda y, value: transport.log_prob(y, value, generator=generator, **options), points)
    except NotImplementedError as error:
        raise InputError(f"no density: {error}") from error
    if output is not None:
        write_rows(output, points.x, points, points.names, {"log_prob": found.numpy()})
    where = f", each in {output}" if output else ""
    print(f"mean negative log-likelihood {-float(found.mean()):.4f} nats over {len(found)} rows{where}")
