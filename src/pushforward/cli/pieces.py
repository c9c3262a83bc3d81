"""What can be swapped for what, read off signatures: nothing is listed by hand, and everything is looked up once."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from pushforward.configuration import ROOMS

__all__ = ["bases_of", "classes_of", "options_of", "public_classes", "type_text", "ways_to"]


@cache
def options_of(owner: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Return the options of a function or class: name to (type, default)."""
    # inherited fields of a dataclass are told in the words of the module that they come from
    told = owner.__init__ if isinstance(owner, type) and not dataclasses.is_dataclass(owner) else owner
    hints = typing.get_type_hints(told)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(owner).parameters.values()
    return {item.name: (hints.get(item.name, Any), item.default) for item in parameters if item.kind in kinds}


def bases_of(hint: Any) -> list[type]:
    """Return the classes of pushforward that a type names: pieces, as opposed to plain values."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return [part for part in parts if isinstance(part, type) and part.__module__.startswith("pushforward")]


@cache
def public_classes() -> dict[str, dict[str, type]]:
    """Return the public classes of every room by name."""
    modules = {room: importlib.import_module(f"pushforward.{room}") for room in ROOMS}
    named = {room: {name: getattr(module, name) for name in module.__all__} for room, module in modules.items()}
    return {
        room: {name: value for name, value in values.items() if isinstance(value, type)}
        for room, values in named.items()
    }


@cache
def classes_of(base: type) -> dict[str, type]:
    """Return the public classes that can stand where `base` is asked for."""
    found = [item for classes in public_classes().values() for item in classes.items() if issubclass(item[1], base)]
    return {name: cls for name, cls in sorted(found, key=lambda item: item[0]) if not inspect.isabstract(cls)}


def type_text(hint: Any) -> str:
    """Say in words what a value must be."""
    if bases := bases_of(hint):
        return " | ".join(name for base in bases for name in classes_of(base))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join("null" if part is type(None) else type_text(part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return " | ".join(map(str, get_args(hint)))
    if get_origin(hint) in (tuple, list):
        return "a list"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return words.get(hint, getattr(hint, "__name__", "anything"))


def ways_to(cls: type, owner: Callable[..., Any]) -> list[tuple[str, str]]:
    """Return the shortest chain of `(option, class)` by which `owner` comes to use `cls`, empty when it does not.

    For `LogitNormal` and `fit`: `[("objective", "FlowMatching"), ("objective.time", "LogitNormal")]`.
    """
    queue: list[tuple[list[tuple[str, str]], Callable[..., Any]]] = [([], owner)]
    seen = set()
    while queue:
        chain, holder = queue.pop(0)
        for key, base in _slots(holder, chain[-1][0] + "." if chain else ""):
            if issubclass(cls, base):
                return [*chain, (key, cls.__name__)]
            if base not in seen:
                seen.add(base)
                queue += [([*chain, (key, name)], found) for name, found in classes_of(base).items()]
    return []


def _slots(holder: Callable[..., Any], prefix: str) -> Iterator[tuple[str, type]]:
    for name, (hint, _) in options_of(holder).items():
        yield from ((prefix + name, base) for base in bases_of(hint))
