"""`pushforward label`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pushforward.cli.data import Device, Output, Rows, Run, batches, open_run, read_rows, rehearse, write_rows
from pushforward.maps import Labels
from pushforward.randomness import seeded

__all__ = ["label"]


def label(
    run: Run,
    input: str,
    *,
    output: Output,
    rows: int | None = None,
    steps: int = 1,
    draws: int = 1,
    known: bool = False,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Read the labels off samples of the target.

    For a fit with --path Symmetric, whose flow run backwards is a classifier, or segments: its labels are what the
    target was conditioned on.

    Args:
        run: directory of a fitted transport.
        input: samples of the target: a file, PATH[:KEY][:COLUMN=VALUE], or a named measure.
        output: the samples with their labels, and with probabilities where the format has columns; a folder of
            images is sorted by the column label.
        rows: draw this many rows of INPUT instead of taking all.
        steps: number of steps back; one gives the mean of what a label may be.
        draws: read so many times, each with its own noise, and average.
        known: INPUT has the labels as columns: tell how many are read as they are there.
        seed: fixes what is drawn.
        device: auto takes a GPU when there is one.

    Examples:
        pushforward label digits images/ -o sorted/
    """  # fmt: skip
    transport = open_run(run, device)
    names = transport.target_columns
    points = read_rows(transport, input, None if known else [f"{name}=" for name in names], rows=rows, seed=seed)
    bare, generator = Rows(points.x, {}, points.names), seeded(seed, "label", device=transport.device)
    with_probabilities = bool(Path(output).suffix)
    rehearse(output, bare, points.names, names)
    parts = [transport.label(part.x, steps=steps, draws=draws, generator=generator) for part in batches(bare)]
    found = Labels.joined(parts)
    write_rows(output, points.x, bare, points.names, _columns(found, with_probabilities))
    print(f"{len(points.x)} rows labelled in {output}{_agreement(found, points) if known else ''}")


def _columns(found: Labels, with_probabilities: bool) -> dict[str, np.ndarray]:
    """Return the labels, and how probable they are where they are categories."""
    likely = {
        f"{name} probability": expected.amax(1).cpu().numpy()
        for name, expected in found.expected.items()
        if expected.ndim == 2 and expected.shape[1] > 1 and found.values[name].ndim == 1
    }
    return found.values | (likely if with_probabilities else {})


def _agreement(found: Labels, points: Rows) -> str:
    """Return for each label the share of values, in a mask of pixels, that are as known."""
    shares = {
        name: np.mean(np.asarray(points.condition[name]).reshape(values.shape).astype(values.dtype) == values)
        for name, values in found.values.items()
    }
    return "".join(f"; {share:.1%} of {name} as known" for name, share in shares.items())
