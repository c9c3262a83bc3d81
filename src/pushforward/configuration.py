"""Describe a piece as `{class_path, init_args}` and build it again: what is written beside a run and read by `load`.

Frozen dataclasses are described by their fields; classes that derive from `Recorded` by the arguments they were
constructed with. Nothing is ever unpickled, and only classes of pushforward, or of modules that the program imported
itself, are built.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import torch
from torch import Tensor

from pushforward.errors import InputError, nearest

__all__ = ["Recorded", "build", "class_path", "describe", "find_class"]

ROOMS = [
    path.name for path in sorted(Path(__file__).parent.iterdir())
    if (path / "__init__.py").exists() and path.name not in ("cli", "report")
]  # fmt: skip
"""The rooms whose public classes can be named without their room."""


class Recorded:
    """Mixin for classes that are not dataclasses (networks, fields): remembers the arguments of the constructor."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Bind the arguments to the signature of `__init__` before it runs; defaults are filled in."""
        self = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        bound = signature.bind_partial(self, *args, **kwargs)
        bound.apply_defaults()
        self.__dict__["_init_args"] = dict(list(bound.arguments.items())[1:])
        return self

    def amend(self, **changes: Any) -> None:
        """Change arguments of the constructor that are kept as attributes of the same name."""
        for name, value in changes.items():
            setattr(self, name, value)
            self.__dict__["_init_args"][name] = value


def describe(value: Any) -> Any:
    """Return a JSON-ready description of a piece, a tensor, or a plain value (lists and dictionaries are walked).

    Raises `TypeError` for an object that could not be rebuilt.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return {"tensor": value.detach().cpu().tolist(), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    return {"class_path": class_path(type(value)), "init_args": _arguments(value)}


def _arguments(value: Any) -> dict[str, Any]:
    if isinstance(value, Recorded):
        return {name: describe(item) for name, item in value.__dict__["_init_args"].items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    raise TypeError(
        f"cannot describe a {type(value).__name__}: make it a dataclass or derive it from pushforward's Recorded"
    )


def _types(cls: type) -> dict[str, Any]:
    return get_type_hints(cls if dataclasses.is_dataclass(cls) else cls.__init__)


def class_path(cls: type) -> str:
    """Return the shortest public path of a class: `pushforward.networks.MLP` rather than
    `pushforward.networks.mlp.MLP`.
    """
    room = ".".join(cls.__module__.split(".")[:2])
    public = getattr(sys.modules.get(room), cls.__name__, None) is cls
    return f"{room if public else cls.__module__}.{cls.__name__}"


def build(description: Any) -> Any:
    """Rebuild what `describe` described. Raises `InputError` for an unknown class or argument."""
    if isinstance(description, list):
        return [build(item) for item in description]
    if not isinstance(description, dict):
        return description
    if set(description) == {"tensor", "dtype"}:
        return torch.tensor(description["tensor"], dtype=getattr(torch, description["dtype"]))
    if "class_path" not in description:
        return {key: build(item) for key, item in description.items()}
    cls = find_class(description["class_path"])
    return _called(cls, description["class_path"], description.get("init_args", {}))


def _called(cls: type, name: str, options: dict[str, Any]) -> Any:
    """Return `cls` with these plain options; a piece that can be of one class only need not name it."""
    arguments, known = {key: build(item) for key, item in options.items()}, inspect.signature(cls).parameters
    for key, value in arguments.items():
        if key not in known:
            raise InputError(f"{name} has no option {key!r}{nearest(key, known)}")
        only = _types(cls).get(key) if isinstance(value, dict) else None
        if isinstance(only, type) and dataclasses.is_dataclass(only):
            arguments[key] = _called(only, only.__name__, value)
    return cls(**arguments)


def find_class(path: str) -> type:
    """Return the class at a dotted path: `MLP` or `networks.MLP` among the public names of the rooms,
    `pushforward.networks.MLP`, or a class of a module that the program has imported itself.

    Raises `InputError`, with the nearest name, when there is none or several.
    """
    module_name, _, name = path.rpartition(".")
    rooms = [module_name] if module_name in ROOMS else ROOMS if not module_name else []
    if rooms:
        return _find_public(path, name, rooms)
    if module_name.split(".")[0] == "pushforward":
        try:
            importlib.import_module(module_name)
        except ImportError as error:
            raise InputError(f"no class {path!r}: pushforward has no module {module_name!r}") from error
    module = sys.modules.get(module_name)
    if module is None:
        raise InputError(f"class {path!r} is not part of pushforward: import its module {module_name!r} first")
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise InputError(f"no class {path!r}{nearest(name, _classes(module))}")
    return found


def _find_public(path: str, name: str, rooms: list[str]) -> type:
    offers = {room: _classes(importlib.import_module(f"pushforward.{room}")) for room in rooms}
    holders = [room for room, classes in offers.items() if name in classes]
    if len({offers[room][name] for room in holders}) > 1:
        raise InputError(
            f"several classes are called {name!r}: write {' or '.join(f'{room}.{name}' for room in holders)}"
        )
    if not holders:
        raise InputError(
            f"no class {path!r}{nearest(name, {known for classes in offers.values() for known in classes})}"
        )
    return offers[holders[0]][name]


def _classes(module: ModuleType) -> dict[str, type]:
    return {name: value for name, value in vars(module).items() if isinstance(value, type) and not name.startswith("_")}
