"""`fit`: from two distributions to a transport, every piece swappable."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pushforward.configuration import build, describe
from pushforward.contracts import Coupling
from pushforward.contracts import Path as PathContract
from pushforward.couplings import Independent, MinibatchOT
from pushforward.errors import InputError, nearest
from pushforward.maps import FlowTransport, Frame
from pushforward.measures import Empirical, Measure, as_measure, takes_shape
from pushforward.networks import MLP, Adapter, Architecture, Field, UNet
from pushforward.objectives import FlowMatching, Objective
from pushforward.paths import Affine
from pushforward.predictions import as_predictions
from pushforward.randomness import seeded
from pushforward.solvers import DormandPrince, Solver
from pushforward.tensors import check_same_event
from pushforward.training.initial import continued, trained_flow
from pushforward.training.run import is_main_process, open_run
from pushforward.training.sides import FramedSides
from pushforward.training.stream import PairStream
from pushforward.training.trainer import Trainer

__all__ = ["default_coupling", "default_network", "fit", "fit_config", "fitted_frame"]

FRAME_SAMPLES = 20_000


def fit(
    source: Any,
    target: Any,
    *,
    condition: Any = None,
    network: Architecture | nn.Module | None = None,
    coupling: Coupling | None = None,
    path: PathContract | None = None,
    objective: Objective | None = None,
    predicts: str | Sequence[str] = "velocity",
    solver: Solver | None = None,
    trainer: Trainer | None = None,
    normalise: Literal["auto", "none"] = "auto",
    init: Any = None,
    adapter: Adapter | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    show_progress: bool | None = None,
) -> FlowTransport:
    """Learn a flow that moves `source` onto `target` and return it as a transport.

    Either side is a measure, an array `(n, *event)`, a data frame, a Hugging Face data set, or the text of a file or a
    named measure. With nothing else given: an MLP for vectors and a U-Net for images; straight paths; flow matching on
    the velocity; optimal transport pairs between two sets of samples, independent pairs where the source is noise.

    Args:
        source: where points come from, at t = 0.
        target: where they should go, at t = 1.
        condition: what target rows are conditioned on: an array or a mapping of arrays, or names of columns of
            `target`.
        network: architecture of the velocity field, or a module of your own.
        coupling: which source point goes with which target point in a batch.
        path: how a pair is joined in time.
        objective: what is minimised.
        predicts: what the network predicts: velocity, data, noise, score, denoiser or drift; several, joined by commas,
            for a network with a head for each.
        solver: how the trained equation is solved unless told otherwise.
        trainer: the optimisation: steps, batch size, rate, averaging.
        normalise: `auto` brings both sides to mean zero and unit variance by one shift and one scale (noise is left as
            it is).
        init: a trained flow, or the directory of its run, to go on from: its network, path, predictions and units.
        adapter: what is trained in the place of the flow of `init`, which then stays as it is.
        seed: the only source of randomness; the same seed gives the same weights.
        out: directory for the transport, its configuration, checkpoints and `metrics.jsonl`.
        resume: go on from the newest checkpoint in `out`.
        overwrite: replace a finished run in `out`.
        show_progress: a progress line on standard error; `None` shows it on a terminal only.

    Raises:
        InputError: for bad data or options, before any work.
        Diverged: when the loss stops being finite; the last good state is saved.
    """
    kinds = as_predictions(predicts)
    measure0, measure1 = _measures(source, target, condition)
    trainer, solver = trainer or Trainer(), solver or DormandPrince()
    objective, coupling = objective or FlowMatching(), coupling or default_coupling(measure0, measure1)
    own = {"network": network, "path": path, "predicts": None if kinds == ("velocity",) else kinds}
    trained = None if init is None else trained_flow(init, measure1.event_shape, given=own)
    if trained is None:
        path, network = path or Affine(), network or default_network(measure1.event_shape)
    if trained is None and adapter is not None:
        raise InputError("an adapter is trained beside a flow: give that as init")
    frames = trained.frames if trained else _frames(measure0, measure1, normalise)
    config = {
        "source": _spec(source), "target": _spec(target), "condition": _spec(condition), "network": describe(network),
        "coupling": describe(coupling), "path": describe(path), "objective": describe(objective),
        "predicts": ",".join(kinds), "solver": describe(solver),
        "trainer": describe(trainer)["init_args"], "normalise": normalise, "seed": seed,
        "init": str(init) if isinstance(init, Path) else _spec(init), "adapter": describe(adapter),
    }  # fmt: skip
    sides = FramedSides((measure0, measure1), frames, trained.field if trained else None)
    coupling = coupling.prepared(sides, generator=seeded(seed, "prepare coupling"))
    schema = objective.schema(coupling.schema(measure1.schema, measure1.event_shape))
    stream = PairStream(measure0, measure1, coupling, *frames)
    probe = stream.probe(seed)
    path = None if path is None else path.prepared(sides, generator=seeded(seed, "prepare path"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if trained:
            field = continued(trained.field, schema, adapter, gaussian_source=probe.gaussian_source)
        else:
            assert path is not None and network is not None  # or there were an `init`
            field = Field(network, path, measure1.event_shape, schema, kinds, probe.gaussian_source).eval()
    with torch.no_grad():  # pieces that do not fit together say so now, before anything is written
        objective(field, probe, field.path, generator=seeded(seed, "probe"))
    known = None if isinstance(measure0, Empirical) else measure0
    names = measure1.names if isinstance(measure1, Empirical) else None
    transport = FlowTransport(field, solver, known, *frames, names, coupling.starts_from)
    directory = None if out is None else Path(out)
    if directory and is_main_process():
        open_run(directory, config, resume=resume, overwrite=overwrite)
    trainer.run(field, objective, stream, seed=seed, directory=directory, resume=resume, show_progress=show_progress)
    if directory and is_main_process():
        transport.save(directory)
    return transport.eval()


def fit_config(config: Mapping[str, Any], **changes: Any) -> FlowTransport:
    """Run `fit` from plain values: its arguments by name, pieces as `{class_path, init_args}`, the trainer as a mapping
    of its options.

    This is the form of `config.yaml` and of recipes. Raises `InputError` for unknown arguments, with the nearest name.
    """
    arguments = {**config, **changes}
    known = inspect.signature(fit).parameters
    for name in arguments:
        if name not in known:
            raise InputError(f"fit has no option {name!r}{nearest(name, known)}")
    trainer = arguments.pop("trainer", None)
    if isinstance(trainer, Mapping) and "class_path" not in trainer:
        trainer = {"class_path": "pushforward.training.Trainer", "init_args": dict(trainer)}
    return fit(**{name: build(value) for name, value in arguments.items()}, trainer=build(trainer))


def default_coupling(source: Measure, target: Measure) -> Coupling:
    """Pair independently where the source is noise, by optimal transport between two sets of samples.

    Noise must stay independent of the condition, and its score stays known; two sets of samples have shorter,
    straighter paths when paired. With categorical conditions each category is paired on its own, so that the source
    stays independent of it.
    """
    if source.is_noise:
        return Independent()
    columns = target.schema.values()
    categorical = bool(columns) and all(column.categories is not None for column in columns)
    return MinibatchOT(condition_weight=math.inf if categorical else 1.0 if columns else 0.0)


def default_network(event_shape: tuple[int, ...]) -> Architecture:
    """Return a U-Net for images `(channels, height, width)`, a residual MLP for everything else."""
    return UNet() if len(event_shape) == 3 else MLP()


def _measures(source: Any, target: Any, condition: Any) -> tuple[Measure, Measure]:
    """Read both sides; noise that is named without a shape takes that of the other side."""
    columns = _column_names(condition)
    if condition is not None and not columns:
        target = Empirical(target, condition)
    if isinstance(target, str) and takes_shape(target):
        measure0 = as_measure(source)
        measure1 = as_measure(target, like=measure0)
    else:
        measure1 = as_measure(target, condition=columns)
        measure0 = as_measure(source, like=measure1)
    check_same_event("the source", measure0.event_shape, "the target", measure1.event_shape)
    return measure0, measure1


def _column_names(condition: Any) -> tuple[str, ...]:
    """Return the names when a condition is given by names of columns, else nothing."""
    if isinstance(condition, str):
        return tuple(name.strip() for name in condition.split(","))
    named = isinstance(condition, Sequence) and all(isinstance(name, str) for name in condition)
    return tuple(condition) if named else ()


def _frames(source: Measure, target: Measure, normalise: Literal["auto", "none"]) -> tuple[Frame, Frame]:
    """Return the frames of both sides: one for both, but for noise, which stays as it is."""
    if normalise == "none":
        return Frame(source.event_shape), Frame(target.event_shape)
    if source.is_noise:
        return Frame(source.event_shape), fitted_frame(target)
    common = fitted_frame(source, target)
    return common, deepcopy(common)


def fitted_frame(*measures: Measure) -> Frame:
    """Return the frame in which samples of these measures together have mean zero and mean variance one."""
    return Frame.fitted(*(_points(measure) for measure in measures))


def _points(measure: Measure) -> Tensor:
    if isinstance(measure, Empirical) and measure.weight is None:
        return measure.x
    return measure.sample(FRAME_SAMPLES, generator=seeded("frame"))


def _spec(value: Any) -> Any:
    """Return what the configuration says about an input: its text, or what kind of thing it was."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return list(value)
    return f"<{type(value).__name__}>"
