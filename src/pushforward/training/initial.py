"""Going on from a transport that is already trained."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from pushforward.conditions import Column, Schema
from pushforward.errors import InputError
from pushforward.maps import FlowTransport, load
from pushforward.networks import Adapter, Field

__all__ = ["continued", "teaching_flow", "trained_flow"]


def trained_flow(init: Any, event_shape: tuple[int, ...], given: Mapping[str, Any]) -> FlowTransport:
    """Return a copy of the flow to go on from, a transport or the directory of a run.

    Raises `InputError` when it is none, moves points of another shape, or when something is `given` beside it that it
    brings itself.
    """
    for name, value in given.items():
        if value is not None:
            raise InputError(f"init brings its own {name}: leave out {name}, or init")
    return _flow("init", init, event_shape)


def teaching_flow(teacher: Any, event_shape: tuple[int, ...], *, beside: FlowTransport | None) -> FlowTransport:
    """Return a copy of the flow to learn from, a transport or the directory of a run, `beside` the one to go on from.

    Raises `InputError` when it is none, moves points of another shape, or in other units than the one beside it.
    """
    taught = _flow("teacher", teacher, event_shape)
    if beside and not all(own.agrees(other) for own, other in zip(taught.frames, beside.frames, strict=True)):
        raise InputError("teacher and init move points in different units: a flow goes on in those of its teacher")
    return taught


def _flow(name: str, given: Any, event_shape: tuple[int, ...]) -> FlowTransport:
    flow = load(given) if isinstance(given, str | Path) else given
    if not isinstance(flow, FlowTransport):
        raise InputError(f"{name} is a {type(flow).__name__}: only a flow will do")
    if tuple(flow.event_shape) != tuple(event_shape):
        raise InputError(f"{name} moves points of shape {tuple(flow.event_shape)}, the target has {event_shape}")
    return deepcopy(flow).to("cpu").eval()


def continued(field: Field, schema: Schema, adapter: Adapter | None, *, gaussian_source: bool) -> Field:
    """Return a copy of a trained field to train on, with pairs of which `gaussian_source` is told and conditions of the
    given `schema`; with an `adapter`, that is what is trained. Raises `InputError` unless conditions mean what they
    meant before.
    """
    if {name: _meaning(column) for name, column in schema.items()} != {
        name: _meaning(column) for name, column in field.schema.items()
    }:
        was, now = (", ".join(each) or "none" for each in (field.schema, schema))
        raise InputError(f"init was trained with other conditions or categories ({was}) than are given now ({now})")
    copy = deepcopy(field)
    copy.amend(gaussian_source=gaussian_source)
    return copy if adapter is None else adapter.adapted(copy)


def _meaning(column: Column) -> tuple[object, int]:
    """What codes or numbers stand for; how covariates are standardised is the network's own affair."""
    return column.categories, column.width
