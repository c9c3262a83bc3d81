"""`fit`: from two distributions to a transport, every piece swappable."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

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
from pushforward.paths import Affine, Codec
from pushforward.predictions import as_predictions
from pushforward.randomness import seeded
from pushforward.solvers import Solver
from pushforward.tensors import check_same_event
from pushforward.training.initial import continued, teaching_flow, trained_flow
from pushforward.training.pairing import paired_measures
from pushforward.training.run import as_written, is_main_process, open_run
from pushforward.training.sides import FramedSides
from pushforward.training.stream import PairStream
from pushforward.training.trainer import Trainer

__all__ = ["both_measures", "call_plain", "default_coupling", "default_network", "fit", "fit_config", "fitted_frame"]

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
    teacher: Any = None,
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
        teacher: a trained flow, or the directory of its run, that the coupling learns from, if it is not that of
            `init`; its units are kept.
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
    measure0, measure1 = both_measures(source, target, condition)
    objective, coupling = objective or FlowMatching(), coupling or default_coupling(measure0, measure1)
    trainer, solver = trainer or Trainer(), solver or objective.sampler()
    own = {"network": network, "path": path, "predicts": None if kinds == ("velocity",) else kinds}
    trained = None if init is None else trained_flow(init, measure1.event_shape, given=own)
    taught = trained if teacher is None else teaching_flow(teacher, measure1.event_shape, beside=trained)
    if trained is None:
        path = path or Affine()
        network = objective.architecture(network or default_network(measure1.event_shape))
    if trained is None and adapter is not None:
        raise InputError("an adapter is trained beside a flow: give that as init")
    own_units = path is not None and isinstance(path.space.target, Codec)  # codecs bring points to unit size themselves
    frames = taught.frames if taught else _frames(measure0, measure1, "none" if own_units else normalise)
    if objective.from_target:
        frames = deepcopy(frames[1]), frames[1]
    config = {
        "source": as_written(source), "target": as_written(target), "condition": as_written(condition),
        "network": describe(network), "coupling": describe(coupling), "path": describe(path),
        "objective": describe(objective), "predicts": ",".join(kinds), "solver": describe(solver),
        "trainer": describe(trainer)["init_args"], "normalise": normalise, "seed": seed,
        "init": as_written(init), "adapter": describe(adapter), "teacher": as_written(teacher),
    }  # fmt: skip
    teaching = taught.field if taught else None
    data = FramedSides((measure0, measure1), frames, teaching)
    ready = trained.field.path if trained else (path or Affine()).prepared(data, generator=seeded(seed, "prepare path"))
    paired, inner = paired_measures(ready, coupling, (measure0, measure1), frames)
    sides = FramedSides(paired, inner, teaching)
    coupling = coupling.prepared(sides, generator=seeded(seed, "prepare coupling"))
    objective = objective.prepared(sides, generator=seeded(seed, "prepare objective"))
    schema = objective.schema(coupling.schema(measure1.schema, paired[1].event_shape))
    stream = PairStream(*paired, coupling, *inner)
    probe = stream.probe(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if trained:
            field = continued(trained.field, schema, adapter, gaussian_source=probe.gaussian_source)
        else:
            assert network is not None  # or there were an `init`
            field = Field(network, ready, measure1.event_shape, schema, kinds, probe.gaussian_source).eval()
    with torch.no_grad():  # pieces that do not fit together say so now, before anything is written
        objective(field, probe, field.path, generator=seeded(seed, "probe"))
    known = None if isinstance(measure0, Empirical) else measure0
    names = measure1.names if isinstance(measure1, Empirical) else None
    transport = FlowTransport(field, solver, known, *frames, names, coupling.starts_from)
    directory = None if out is None else Path(out)
    if directory and is_main_process():
        open_run(directory, config, resume=resume, overwrite=overwrite)
    trainer.run(field, objective, stream, seed=seed, directory=directory, resume=resume, show_progress=show_progress)
    transport.to(next(field.parameters()).device)  # where the field was trained
    if directory and is_main_process():
        transport.save(directory)
    return transport.eval()


def fit_config(config: Mapping[str, Any], **changes: Any) -> FlowTransport:
    """Run `fit` from plain values: its arguments by name, pieces as `{class_path, init_args}`, the trainer as a mapping
    of its options.

    This is the form of `config.yaml` and of recipes. Raises `InputError` for unknown arguments, with the nearest name.
    """
    return call_plain(fit, {**config, **changes})


def call_plain(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call a function that trains with plain values. Raises `InputError` for unknown arguments, naming the nearest."""
    known = inspect.signature(function).parameters
    for name in arguments:
        if name not in known:
            raise InputError(f"{function.__name__} has no option {name!r}{nearest(name, known)}")
    hints = get_type_hints(function)
    return function(**{name: _built(value, hints[name]) for name, value in arguments.items()})


def _built(value: Any, hint: Any) -> Any:
    """Return a value, or the piece that it describes; a piece of one class only need not be named."""
    found = build(value)
    classes = [part for part in get_args(hint) or (hint,) if isinstance(part, type) and is_dataclass(part)]
    if isinstance(found, dict) and len(classes) == 1:
        cls = classes[0]
        return build({"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": value})
    return found


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


def both_measures(source: Any, target: Any, condition: Any) -> tuple[Measure, Measure]:
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
