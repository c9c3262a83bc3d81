"""Why a configuration was refused, in one line with the nearest match: jsonargparse tells it in ten."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser

from pushforward.cli.pieces import bases_of, classes_of, options_of, type_text
from pushforward.configuration import find_class
from pushforward.errors import InputError, nearest

__all__ = ["explain", "insert", "node_of"]

Node = dict[str, Any]
"""A value under the key `""` and options below it, each a node: the same for flags and for files."""


def node_of(value: Any) -> Node:
    """Return the node of what a configuration file says."""
    if not isinstance(value, dict):
        return {"": value}
    if "class_path" in value:
        return {"": value["class_path"]} | node_of(value.get("init_args") or {})
    return {str(name): node_of(item) for name, item in value.items()}


def insert(tree: Node, key: str, text: str) -> None:
    """Lay the flag `--a.b text` over a node, in place; another class drops the options of the one before."""
    for part in key.split("."):
        tree = tree.setdefault(part, {})
    if tree.get("") != text:
        tree.clear()
    tree[""] = text


def explain(tree: Node, owner: Callable[..., Any], name: str) -> str | None:
    """Return what is wrong with a configuration of `owner`, which users call `name`; `None` where nothing is found."""
    return _options(tree, owner, name, "")


def _options(tree: Node, owner: Callable[..., Any], name: str, prefix: str) -> str | None:
    known = options_of(owner)
    for option, child in tree.items():
        if option == "":
            continue
        if option not in known:
            place = f" (in {prefix}{option})" if prefix else ""
            return f"{name} has no option {option!r}{nearest(option, known)}{place}"
        problem = _value(prefix + option, known[option][0], child)
        if problem:
            return problem
    return None


def _value(key: str, hint: Any, child: Node) -> str | None:
    bases = bases_of(hint)
    if not bases:
        return _plain(key, hint, child)
    name, concrete = child.get(""), {found: cls for base in bases for found, cls in classes_of(base).items()}
    if name in (None, "null"):
        options = [option for option in child if option]
        if not options:
            return None
        if list(concrete.values()) != bases:  # else the class is known: there is only one, as for the trainer
            return _nameless(key, options[0], concrete)
        name = bases[0].__name__
    cls = concrete.get(str(name)) or _class_at(str(name))
    if cls is None:
        return f"{key} has no class {name!r}{nearest(str(name), concrete)}"
    if not issubclass(cls, tuple(bases)):
        return f"{key} cannot be {name!r}: wanted {type_text(hint)}"
    return _options(child, cls, cls.__name__, f"{key}.")


def _class_at(path: str) -> type | None:
    try:
        return find_class(path)
    except InputError:
        return None


def _nameless(key: str, option: str, concrete: dict[str, type]) -> str:
    holders = [name for name, cls in concrete.items() if option in options_of(cls)]
    if not holders:
        return f"{key} has no option {option!r}, whatever its class; classes are {', '.join(concrete)}"
    example = f"--{key} {holders[0]} --{key}.{option} ..."
    return f"{key}.{option} needs the class first, as in {example} (it is an option of {', '.join(holders)})"


def _plain(key: str, hint: Any, child: Node) -> str | None:
    below = next((option for option in child if option), None)
    if below is not None and hint is not Any:
        return f"{key} has no option {below!r}: it is {type_text(hint)}"
    if "" not in child or hint is Any:
        return None
    value = child[""]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    try:
        parser.parse_args([f"--value={value if isinstance(value, str) else json.dumps(value)}"])
    except (ArgumentError, TypeError):
        choices = [
            str(item) for part in (hint, *get_args(hint)) if get_origin(part) is Literal for item in get_args(part)
        ]
        if choices:
            return f"{key} cannot be {value!r}{nearest(str(value), choices)}"
        return f"{key} must be {type_text(hint)}, got {value!r}"
    return None
