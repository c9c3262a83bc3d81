"""`pushforward report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

from pushforward.cli.arguments import Mark
from pushforward.cli.data import Device, Output, Run, open_run
from pushforward.report.run import report_run

__all__ = ["report"]

Spec = Annotated[str | None, Mark(shows="SPEC")]


def report(
    run: Run,
    *,
    output: Output | None = None,
    source: Spec = None,
    target: Spec = None,
    rows: int = 2000,
    seed: int = 0,
    open: bool = False,
    device: Device = "auto",
) -> None:
    """Write one self-contained page about a run.

    Samples, paths with a time slider, metrics, training curves, configuration and whom to cite. Evaluates the run first
    if that was not done.

    Args:
        run: directory of a fitted transport.
        output: the page, RUN/report.html if not given.
        source: show these instead of the data of the fit.
        target: compare with these.
        rows: rows pushed and compared.
        seed: fixes what is drawn.
        open: open the page in a browser.
        device: auto takes a GPU when there is one.

    Examples:
        pushforward report change --open
    """  # fmt: skip
    where = str(open_run(run, device).device)
    page = report_run(run, output, source=source, target=target, rows=rows, seed=seed, device=where)
    print(f"the report is {page}")
    if open:
        webbrowser.open(Path(page).resolve().as_uri())
