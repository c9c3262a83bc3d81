"""Fitting one model to several distributions."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from pushforward.configuration import describe
from pushforward.couplings import Independent
from pushforward.errors import InputError
from pushforward.maps import Frame, MultimarginalTransport
from pushforward.measures import Measure, Samples, as_measure, takes_shape
from pushforward.networks import Architecture, VertexField
from pushforward.objectives import VertexRegression
from pushforward.randomness import seeded
from pushforward.solvers import DormandPrince, Solver
from pushforward.tensors import check_same_event
from pushforward.training.fit import default_network, fitted_frame
from pushforward.training.run import as_written, is_main_process, open_run
from pushforward.training.stream import PairStream
from pushforward.training.trainer import Trainer

__all__ = ["fit_multimarginal", "marginal_measures"]


def fit_multimarginal(
    marginals: Sequence[Any],
    *,
    network: Architecture | None = None,
    objective: VertexRegression | None = None,
    projected: bool = True,
    solver: Solver | None = None,
    trainer: Trainer | None = None,
    normalise: Literal["auto", "none"] = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    show_progress: bool | None = None,
) -> MultimarginalTransport:
    """Learn flows between any two of several distributions with one network and return them as one transport.

    Marginals are drawn independently of each other. Those that are noise stay in their own units, all others share one
    shift and scale.

    Args:
        marginals: the distributions: measures, arrays or names as `fit` takes them; `gaussian` takes its shape from the
            others.
        network: architecture of the network, which answers with a point of every marginal.
        objective: what is minimised.
        projected: move the network's answers by the least that makes them add up to the state.
        solver: how the flow between two marginals is solved unless told otherwise.
        trainer: the optimisation: steps, batch size, rate, averaging.
        normalise: `auto` brings all to mean zero and unit variance by one shift and one scale.
        seed: the only source of randomness; the same seed gives the same weights.
        out: directory for the transport, its configuration, checkpoints and `metrics.jsonl`.
        resume: go on from the newest checkpoint in `out`.
        overwrite: replace a finished run in `out`.
        show_progress: a progress line on standard error; `None` shows it on a terminal only.

    Raises:
        InputError: for fewer than two marginals or points that are unlike, before any work.
    """
    measures = marginal_measures(marginals)
    trainer, solver, objective = trainer or Trainer(), solver or DormandPrince(), objective or VertexRegression()
    network = network or default_network(measures[0].event_shape)
    frames = _frames(measures, normalise)
    together = _Together(tuple(measures), tuple(frames))
    as_they_are = Frame(together.event_shape)
    stream = PairStream(together, together, Independent(), as_they_are, as_they_are)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        field = VertexField(network, measures[0].event_shape, len(measures), projected).eval()
    standard = [k for k, measure in enumerate(measures) if measure.is_standard_normal]
    transport = MultimarginalTransport(field, frames, solver, standard[0] if standard else None)
    directory = None if out is None else Path(out)
    if directory and is_main_process():
        config = {
            "marginals": [as_written(each) for each in marginals],
            "network": describe(network), "objective": describe(objective), "projected": projected,
            "solver": describe(solver), "trainer": describe(trainer)["init_args"], "normalise": normalise, "seed": seed,
        }  # fmt: skip
        open_run(directory, config, resume=resume, overwrite=overwrite)
    parts: tuple[Any, Any] = (field, objective)  # the trainer only asks that they go together
    trainer.run(*parts, stream, seed=seed, directory=directory, resume=resume, show_progress=show_progress)
    if directory and is_main_process():
        transport.save(directory)
    return transport.eval()


@dataclass(frozen=True)
class _Together(Measure):
    """Independent points of several measures, each in its own frame, stacked: `(n, K + 1, *event)`."""

    measures: tuple[Measure, ...]
    frames: tuple[Frame, ...]

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (len(self.measures), *self.measures[0].event_shape)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
        drawn = [measure.sample(n, generator=generator) for measure in self.measures]
        return self._stacked(drawn)

    def block(self, index: int, n: int, *, seed: int) -> Samples:
        seeds = [seeded(seed, "marginal", k).initial_seed() for k in range(len(self.measures))]
        drawn = [m.block(index, n, seed=own).x for m, own in zip(self.measures, seeds, strict=True)]
        return Samples(self._stacked(drawn))

    def _stacked(self, drawn: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([frame.enter(x) for frame, x in zip(self.frames, drawn, strict=True)], 1)


def marginal_measures(marginals: Sequence[Any]) -> list[Measure]:
    """Return what `fit_multimarginal` is given as measures. Raises `InputError` for fewer than two, and points that are
    unlike.
    """
    if len(marginals) < 2:
        raise InputError(f"several marginals are wanted, got {len(marginals)}")
    shapeless = [isinstance(each, str) and takes_shape(each) for each in marginals]
    found = [None if waits else as_measure(each) for each, waits in zip(marginals, shapeless, strict=True)]
    first = next((measure for measure in found if measure is not None), None)
    measures = [measure or as_measure(each, like=first) for measure, each in zip(found, marginals, strict=True)]
    for number, measure in enumerate(measures):
        check_same_event("marginal 0", measures[0].event_shape, f"marginal {number}", measure.event_shape)
    return measures


def _frames(measures: list[Measure], normalise: Literal["auto", "none"]) -> list[Frame]:
    data = [measure for measure in measures if not measure.is_noise]
    if normalise == "none" or not data:
        return [Frame(measure.event_shape) for measure in measures]
    common = fitted_frame(*data)
    return [Frame(m.event_shape) if m.is_noise else deepcopy(common) for m in measures]
