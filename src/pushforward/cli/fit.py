"""`pushforward fit`: the signature of the library's `fit` is the schema."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from pushforward import training
from pushforward.cli.explain import Node, explain, insert, node_of
from pushforward.cli.pieces import classes_of, options_of
from pushforward.cli.terminal import complain, one_line
from pushforward.configuration import Recorded, find_class
from pushforward.errors import InputError, nearest
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical
from pushforward.networks import Architecture
from pushforward.training import Diverged, fit_config, read_config, read_history

__all__ = ["ABOUT", "SWITCHES", "USAGE", "run"]

USAGE = "pushforward fit SOURCE TARGET --out RUN [options]"
SWITCHES = {
    "resume": "go on from the newest checkpoint in RUN, as RUN/config.yaml says",
    "overwrite": "replace the run that is in RUN",
    "quiet": "print nothing",
}
"""Options without a value."""

ABOUT = {
    "condition": "columns of TARGET that its rows are conditioned on, a or a,b",
    "network": "architecture of the velocity field",
    "init": "directory of a trained flow to go on from, whose network, path and units are kept",
    "out": "directory for the transport and all that belongs to it",
}
"""What differs from the library's own words, which speak of arrays."""

DEFAULTS = {"path": "Affine", "objective": "FlowMatching"}
"""Pieces that options are meant for where none is named: those that `fit` takes without one."""

AS_TYPED = ("source", "target", "condition", "init")
"""Arguments that are taken as they were written: `3` is the file of that name."""


@dataclass
class _Words:
    """A command line, sorted."""

    sides: list[str] = field(default_factory=list)
    options: list[tuple[str, str]] = field(default_factory=list)
    switches: set[str] = field(default_factory=set)

    def get(self, name: str) -> str | None:
        """Return the last value given to an option."""
        return next((value for key, value in reversed(self.options) if key == name), None)


def run(argv: list[str]) -> int:
    """Learn a flow that moves SOURCE onto TARGET.

    With nothing else given: an MLP for vectors and a U-Net for images, straight paths, flow matching; pairs by optimal
    transport between two sets of samples, independent pairs where the source is noise. RUN holds the transport,
    config.yaml with every option, metrics.jsonl and checkpoints.

    Ends with exit code 1 when the training diverged and 130 when it was interrupted; both go on with --resume.
    """
    words = _sort(argv)
    out = Path(_required(words))
    sys.path.append(os.getcwd())  # so that --coupling my_pieces.Mine finds a file of one's own
    config = _config(words, out)
    progress = False if "quiet" in words.switches else None
    again = f"pushforward fit --resume --out {shlex.quote(str(out))}"
    try:
        with _nothing_half_written(out):
            transport = fit_config(
                config,
                resume="resume" in words.switches,
                overwrite="overwrite" in words.switches,
                show_progress=progress,
            )
    except Diverged as error:
        complain("diverged", error)
        return 1
    except KeyboardInterrupt:
        complain("interrupted", f"continue with  {again}" if _saved(out) else "too early: nothing was written")
        return 130
    if "quiet" not in words.switches:
        print(_farewell(out, config, transport))
    return 0


def _sort(argv: list[str]) -> _Words:
    words, rest = _Words(), list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            words.sides.append(word)
            continue
        key, equals, value = word.lstrip("-").partition("=")
        key = "out" if word == "-o" else key
        _check_name(word, key)
        if key in SWITCHES:
            if equals:
                raise InputError(f"--{key} takes no value")
            words.switches.add(key)
            continue
        if not equals and (not rest or rest[0].startswith("--")):
            raise InputError(f"--{key} needs a value, as in --{key} VALUE")
        words.options.append((key, value if equals else rest.pop(0)))
    if len(words.sides) > 2:
        third = words.sides[2]
        raise InputError(f"fit takes SOURCE and TARGET, got a third: {third!r}; several columns are written a,b")
    return words


def _check_name(word: str, key: str) -> None:
    names = {*options_of(training.fit), *SWITCHES, "config", "help"} - {"show_progress"}
    known = [f"--{name}" for name in names]
    if f"--{key.partition('.')[0]}" not in known:
        raise InputError(f"fit has no option {word.partition('=')[0]!r}{nearest(word, known)}")


def _required(words: _Words) -> str:
    out = words.get("out")
    if not out:
        raise InputError(f"missing --out RUN, the directory for the transport: {USAGE}")
    return out


def _config(words: _Words, out: Path) -> dict[str, Any]:
    """Return the arguments of `fit`: those of the file, with those of the command line over them."""
    file = words.get("config")
    if file is None and "resume" in words.switches and (not words.sides or (out / "config.yaml").exists()):
        read_config(out)  # so that a run that is missing or damaged is called so
        file = str(out / "config.yaml")
    tree = node_of(_read(file)) if file else {}
    given = [(key, value) for key, value in words.options if key != "config"]
    options = [*zip(("source", "target"), words.sides, strict=False), *_unnamed(given, tree), *given]
    for key, value in options:
        insert(tree, key, value)
    _check_sides(tree)
    arguments = [f"--config={file}"] if file else []
    values = _parse([*arguments, *(f"--{key}={value}" for key, value in options)], tree)
    return values | {name: tree[name][""] for name in AS_TYPED if tree.get(name, {}).get("") is not None}


def _unnamed(options: list[tuple[str, str]], tree: Node) -> list[tuple[str, str]]:
    """Return the pieces whose options are given while neither the command line nor the file names one."""
    named = {key for key, _ in options} | {name for name, node in tree.items() if "" in node}
    wanted = {key.partition(".")[0] for key, _ in options if "." in key}
    return [(name, piece) for name, piece in DEFAULTS.items() if name in wanted - named]


def _read(file: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(file).read_text())
    except OSError as error:
        raise InputError(f"cannot read the configuration {file}: {(error.strerror or str(error)).lower()}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else ""
        raise InputError(f"{file} is not YAML{place}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no options: wanted a mapping, as config.yaml of a run")
    return content


def _check_sides(tree: Node) -> None:
    missing = [name.upper() for name in ("source", "target") if tree.get(name, {}).get("") is None]
    if missing:
        raise InputError(f"missing {' and '.join(missing)}: {USAGE}")
    for name in ("source", "target"):
        if str(tree[name][""]).startswith("<"):
            was = tree[name][""]
            raise InputError(f"the {name} of this configuration was {was} in Python: give SOURCE and TARGET")


def _parse(arguments: list[str], tree: Node) -> dict[str, Any]:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(training.fit, as_positional=False, skip={*SWITCHES, "show_progress"})
    try:
        values = parser.parse_args(arguments).as_dict()
    except (ArgumentError, TypeError, ValueError) as error:
        known = {key: node for key, node in tree.items() if key not in AS_TYPED}
        raise InputError(explain(known, training.fit, "fit") or one_line(error)) from error
    _check_network(values["network"])
    return {name: value for name, value in values.items() if name != "config" and value is not None}


def _check_network(description: dict[str, Any] | None) -> None:
    """Refuse a bare module: its shape would not be known, and it could not be described and loaded again."""
    if description and not issubclass(find_class(description["class_path"]), Architecture | Recorded):
        known, name = ", ".join(classes_of(Architecture)), description["class_path"]
        raise InputError(
            f"network cannot be {name!r}: wanted {known}, or an Architecture or Recorded module of your own"
        )


@contextmanager
def _nothing_half_written(out: Path) -> Iterator[None]:
    """Take back the directory, if it is new, when nothing was saved in it."""
    was_run = (out / "config.yaml").exists()
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        if not was_run and not _saved(out):
            for file in ("config.yaml", "metrics.jsonl"):
                _try(lambda file=file: (out / file).unlink())
            for folder in (out / "checkpoints", *created):
                _try(folder.rmdir)
        raise


def _saved(out: Path) -> bool:
    return any(out.glob("checkpoints/*.safetensors"))


def _try(remove: Callable[[], None]) -> None:
    """Remove what is there and empty; something of another run is left alone."""
    with suppress(OSError):
        remove()


def _farewell(out: Path, config: dict[str, Any], transport: FlowTransport) -> str:
    rows = read_history(out / "metrics.jsonl")
    loss = f", loss {rows[-1]['loss']:.4g} at step {int(rows[-1]['step'])}" if rows else ""
    place, source = shlex.quote(str(out)), shlex.quote(str(config["source"]))
    draw = " --rows 100" if transport.source is not None and not isinstance(transport.source, Empirical) else ""
    some = next(iter(transport.field.schema.items()), None)
    condition = f" --condition {some[0]}={_example(some[1])}" if some and draw else ""
    result = "moved.csv" if len(transport.event_shape) == 1 else "moved/"
    return (
        f"the transport is in {out}{loss}\n\nnext:\n"
        f"  pushforward push {place} {source}{draw}{condition} -o {result}\n"
        f"  pushforward evaluate {place}\n"
        f"  pushforward report {place}"
    )


def _example(column: Any) -> Any:
    return column.categories[0] if column.categories else round(column.shift, 2)
