"""`pushforward evaluate`."""

from __future__ import annotations

import json as to_json
from typing import Annotated

from pushforward.cli.arguments import Mark
from pushforward.cli.data import Device, FixedMethod, Run, open_run
from pushforward.report.run import evaluate_run

__all__ = ["evaluate"]

Spec = Annotated[str | None, Mark(shows="SPEC")]


def evaluate(
    run: Run,
    *,
    source: Spec = None,
    target: Spec = None,
    rows: int = 2000,
    steps: Annotated[list[int] | None, Mark(shows="N")] = None,
    method: FixedMethod = "euler",
    seed: int = 0,
    json: bool = False,
    device: Device = "auto",
) -> None:
    """Measure how good a transport is, every metric beside its floor.

    The floor is the metric between two samples of the target itself. Writes RUN/evaluation.json.

    Args:
        run: directory of a fitted transport.
        source: push these instead of the data of the fit.
        target: compare with these, best with samples that the fit has not seen.
        rows: rows pushed and compared.
        steps: numbers of fixed steps to try, 1 2 4 8 100 if not given.
        method: the fixed-step method tried.
        seed: fixes what is drawn.
        json: print what was measured as JSON.
        device: auto takes a GPU when there is one.

    Examples:
        pushforward evaluate change --source before-test.csv --target after-test.csv
    """  # fmt: skip
    where = str(open_run(run, device).device)
    found = evaluate_run(
        run,
        source=source,
        target=target,
        rows=rows,
        steps=steps or (1, 2, 4, 8, 100),
        method=method,
        seed=seed,
        device=where,
    )
    print(to_json.dumps(found.to_dict(), indent=1) if json else found.format())
