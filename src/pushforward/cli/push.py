"""`pushforward push`."""

from __future__ import annotations

from pushforward.cli.data import (
    Conditions,
    Device,
    Method,
    Output,
    Run,
    accepted,
    in_batches,
    open_run,
    read_rows,
    rehearse,
    write_rows,
)
from pushforward.randomness import seeded

__all__ = ["push"]


def push(
    run: Run,
    input: str,
    *,
    output: Output,
    rows: int | None = None,
    condition: Conditions = None,
    steps: int | None = None,
    tolerance: float | None = None,
    method: Method | None = None,
    guidance: float | None = None,
    begin: float | None = None,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Carry samples of the source to the target.

    Args:
        run: directory of a fitted transport.
        input: samples of the source: a file, PATH[:KEY][:COLUMN=VALUE], or a named measure.
        output: where the moved samples go; .npy .npz .csv .parquet .h5ad by suffix, no suffix for a folder of images.
        rows: draw this many rows of INPUT; needed where it has no rows of its own, as gaussian.
        condition: what to condition on; NAME=A,B,C in turn, NAME= for none. What is left out is taken from the columns
            of INPUT.
        steps: number of fixed steps: fewer are faster, more are more exact.
        tolerance: error that adaptive steps may make.
        method: how the equation is solved.
        guidance: above 1 exaggerates the condition (for a fit with --objective.condition_dropout); with MixtureSDE and
            MixtureODE between 0 and 1.
        begin: leave out the times before this one, starting from the mean and deviation of the target (Analytic-Init).
        seed: fixes what is drawn.
        device: auto takes a GPU when there is one.

    Examples:
        pushforward push change before.csv -o predicted.csv
        pushforward push moons gaussian --rows 500 --steps 8 -o new.npy
        pushforward push digits gaussian --rows 40 --condition label=3,8 -o drawn/
    """  # fmt: skip
    transport = open_run(run, device)
    given = {"steps": steps, "tolerance": tolerance, "method": method, "guidance": guidance, "begin": begin}
    options = accepted(transport.push, given)
    points = read_rows(transport, input, condition, rows=rows, seed=seed)
    rehearse(output, points, transport.names)
    generator = seeded(seed, "push", device=transport.device)
    moved = in_batches(lambda x, value: transport.push(x, value, generator=generator, **options), points)
    write_rows(output, moved, points, transport.names)
    print(f"{len(moved)} rows pushed to {output}")
