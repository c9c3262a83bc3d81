"""`pushforward pull`."""

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

__all__ = ["pull"]


def pull(
    run: Run,
    input: str,
    *,
    output: Output,
    rows: int | None = None,
    condition: Conditions = None,
    steps: int | None = None,
    tolerance: float | None = None,
    method: Method | None = None,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Carry samples of the target back to the source.

    Args:
        run: directory of a fitted transport.
        input: samples of the target: a file, PATH[:KEY][:COLUMN=VALUE], or a named measure.
        output: where the moved samples go; the suffix is the format.
        rows: draw this many rows of INPUT instead of taking all.
        condition: what to condition on; what is left out is taken from the columns of INPUT.
        steps: number of fixed steps.
        tolerance: error that adaptive steps may make.
        method: how the equation is solved.
        seed: fixes which rows are drawn, and the noise of stochastic methods.
        device: auto takes a GPU when there is one.

    Examples:
        pushforward pull change after.csv -o explained.csv
    """  # fmt: skip
    transport = open_run(run, device)
    options = accepted(transport.pull, {"steps": steps, "tolerance": tolerance, "method": method})
    generator = seeded(seed, "pull", device=transport.device)
    points = read_rows(transport, input, condition, rows=rows, seed=seed)
    rehearse(output, points, points.names)
    moved = in_batches(lambda y, value: transport.pull(y, value, generator=generator, **options), points)
    write_rows(output, moved, points, points.names)
    print(f"{len(moved)} rows pulled to {output}")
