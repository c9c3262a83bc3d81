"""`pushforward between`."""

from __future__ import annotations

from typing import Literal

from pushforward.cli.data import Device, Output, Run, open_run
from pushforward.errors import InputError
from pushforward.maps import MultimarginalTransport
from pushforward.measures import Measure
from pushforward.randomness import seeded
from pushforward.training import marginal_measures, read_config
from pushforward.training import open_run as make_run

__all__ = ["between"]

ROWS = 5_000
"""Points of every marginal on which the cost of a route is measured."""


def between(
    run: Run,
    start: int,
    end: int,
    *,
    output: Output,
    route: Literal["straight", "cheapest"] = "straight",
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Take the flow between two distributions out of a multimarginal run.

    Args:
        run: directory of a multimarginal run.
        start: number of the marginal that the flow starts from, as the run was given them, from 0.
        end: number of the marginal that it leads to.
        output: directory for the flow, which push, pull and log-prob take as any other.
        route: straight runs along the edge between both, cheapest by the route through all the others that costs the
            least, found on points of all marginals.
        seed: fixes what is drawn.
        device: auto takes a GPU when there is one.

    Examples:
        pushforward between days 0 2 -o first_to_last
        pushforward between days 0 2 --route cheapest -o first_to_last
    """  # fmt: skip
    transport = open_run(run, device)
    if not isinstance(transport, MultimarginalTransport):
        raise InputError(f"{run} is a flow from one distribution to another: between is for multimarginal runs")
    given, found = read_config(run)["marginals"], None
    if route == "cheapest":
        generator = seeded(seed, "between")
        points = [measure.sample(ROWS, generator=generator) for measure in _measures(run, given)]
        found = transport.cheapest(start, end, points, generator=seeded(seed, "route", device=transport.device))
    flow = transport.between(start, end, route=found)
    config = {"source": given[start], "target": given[end], "marginals": given, "route": route, "seed": seed}
    flow.save(make_run(output, config, resume=False, overwrite=False))
    print(f"the flow from marginal {start} to marginal {end} is in {output}")


def _measures(run: str, given: list[str]) -> list[Measure]:
    if any(text.startswith("<") for text in given):
        raise InputError(f"the marginals of {run} were given in Python: find the route there, with cheapest(...)")
    return marginal_measures(given)
