"""Commands that train: the signature of a function of the library is the schema, and RUN keeps every option."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from pushforward.cli.explain import Node, explain, insert, node_of
from pushforward.cli.pieces import options_of
from pushforward.cli.terminal import complain, one_line
from pushforward.errors import InputError, nearest
from pushforward.training import Diverged, call_plain, read_config

__all__ = ["SWITCHES", "Command", "run_command"]

SWITCHES = {
    "resume": "go on from the newest checkpoint in RUN, as RUN/config.yaml says",
    "overwrite": "replace the run that is in RUN",
    "quiet": "print nothing",
}
"""Options without a value."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """A command of which the library's `function` is the schema.

    `words` are the arguments that need no name, in order, all of which are needed; where there are `many`, the only one
    takes all there are. `about` is what differs from the
    library's own words, which speak of arrays; `defaults` the pieces that options are meant for where none is named;
    `as_typed` what is taken as it was written (`3` is the file of that name). `canonical` puts the text of an option
    into the form that the library has for it; `check` refuses what only the command line has to. The page of help lists
    first the options that are used `often`, and shows how to `swap` pieces, and `examples`.
    """

    name: str
    function: Callable[..., Any]
    words: tuple[str, ...]
    out: str
    often: tuple[str, ...]
    swap: str
    examples: str
    about: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    as_typed: tuple[str, ...] = ()
    many: bool = False
    canonical: Callable[[str, str], str] = lambda key, text: text
    check: Callable[[Values], None] = lambda values: None

    @property
    def usage(self) -> str:
        """How it is called."""
        words = " ".join(word.upper() + "..." * self.many for word in self.words)
        return f"pushforward {self.name} {words} --out {self.out} [options]"

    def named(self, inputs: list[str]) -> list[tuple[str, str]]:
        """Return what was given without a name, with its name."""
        if self.many:
            return [(self.words[0], json.dumps(inputs))] if inputs else []
        return list(zip(self.words, inputs, strict=False))


@dataclass
class _Words:
    """A command line, sorted."""

    inputs: list[str] = field(default_factory=list)
    options: list[tuple[str, str]] = field(default_factory=list)
    switches: set[str] = field(default_factory=set)

    def get(self, name: str) -> str | None:
        """Return the last value given to an option."""
        return next((value for key, value in reversed(self.options) if key == name), None)


def run_command(command: Command, argv: list[str], farewell: Callable[[Path, Values, Any], str]) -> int:
    """Run a command that trains; `farewell` says, given its directory, options and result, what there is now.

    Returns 0, 1 when the training diverged and 130 when it was interrupted; both go on with --resume.
    """
    words = _sort(command, argv)
    out = Path(_required(command, words))
    sys.path.append(os.getcwd())  # so that --coupling my_pieces.Mine finds a file of one's own
    config = _config(command, words, out)
    options = {name: name in words.switches for name in ("resume", "overwrite")}
    again = f"pushforward {command.name} --resume --out {shlex.quote(str(out))}"
    quiet = "quiet" in words.switches
    try:
        with _nothing_half_written(out):
            result = call_plain(command.function, config | options | {"show_progress": False if quiet else None})
    except Diverged as error:
        complain("diverged", error)
        return 1
    except KeyboardInterrupt:
        complain("interrupted", f"continue with  {again}" if _saved(out) else "too early: nothing was written")
        return 130
    message = farewell(out, config, result)
    if not quiet:
        print(message)
    return 0


def _sort(command: Command, argv: list[str]) -> _Words:
    words, rest = _Words(), list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            words.inputs.append(word)
            continue
        key, equals, value = word.lstrip("-").partition("=")
        key = "out" if word == "-o" else key
        _check_name(command, word, key)
        if key in SWITCHES:
            if equals:
                raise InputError(f"--{key} takes no value")
            words.switches.add(key)
            continue
        if not equals and (not rest or rest[0].startswith("--")):
            raise InputError(f"--{key} needs a value, as in --{key} VALUE")
        words.options.append((key, command.canonical(key, value if equals else rest.pop(0))))
    if len(words.inputs) > len(command.words) and not command.many:
        _refuse(command, words.inputs[len(command.words)])
    return words


def _refuse(command: Command, word: str) -> None:
    names, count = " and ".join(name.upper() for name in command.words), len(command.words)
    ordinal = {1: "second", 2: "third"}[count]
    raise InputError(f"{command.name} takes {names}, got a {ordinal}: {word!r}; several columns are written a,b")


def _check_name(command: Command, word: str, key: str) -> None:
    names = {*options_of(command.function), *SWITCHES, "config", "help"} - {"show_progress"}
    known = [f"--{name}" for name in names]
    if f"--{key.partition('.')[0]}" not in known:
        raise InputError(f"{command.name} has no option {word.partition('=')[0]!r}{nearest(word, known)}")


def _required(command: Command, words: _Words) -> str:
    out = words.get("out")
    if not out:
        raise InputError(f"missing --out {command.out}, the directory for the transport: {command.usage}")
    return out


def _config(command: Command, words: _Words, out: Path) -> Values:
    """Return the arguments of the function: those of the file, with those of the command line over them."""
    file = words.get("config")
    if file is None and "resume" in words.switches and (not words.inputs or (out / "config.yaml").exists()):
        read_config(out)  # so that a run that is missing or damaged is called so
        file = str(out / "config.yaml")
    tree = node_of(_read(file)) if file else {}
    given = [(key, value) for key, value in words.options if key != "config"]
    options = [*command.named(words.inputs), *_unnamed(command, given, tree), *given]
    for key, value in options:
        insert(tree, key, value)
    _check_inputs(command, tree)
    arguments = [f"--config={file}"] if file else []
    values = _parse(command, [*arguments, *(f"--{key}={value}" for key, value in options)], tree)
    return values | {name: tree[name][""] for name in command.as_typed if tree.get(name, {}).get("") is not None}


def _unnamed(command: Command, options: Sequence[tuple[str, str]], tree: Node) -> list[tuple[str, str]]:
    """Return the pieces whose options are given while neither the command line nor the file names one."""
    named = {key for key, _ in options} | {name for name, node in tree.items() if "" in node}
    wanted = {key.partition(".")[0] for key, _ in options if "." in key}
    return [(name, piece) for name, piece in command.defaults.items() if name in wanted - named]


def _read(file: str) -> Values:
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


def _check_inputs(command: Command, tree: Node) -> None:
    missing = [name.upper() for name in command.words if tree.get(name, {}).get("") is None]
    if missing:
        raise InputError(f"missing {' and '.join(missing)}: {command.usage}")
    for name in command.words:
        value = tree[name][""]
        if any(str(item).startswith("<") for item in (value if isinstance(value, list) else [value])):
            was, wanted = tree[name][""], " and ".join(word.upper() for word in command.words)
            raise InputError(f"the {name} of this configuration was {was} in Python: give {wanted}")


def _parse(command: Command, arguments: list[str], tree: Node) -> Values:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(command.function, as_positional=False, skip={*SWITCHES, "show_progress"})
    try:
        values = parser.parse_args(arguments).as_dict()
    except (ArgumentError, TypeError, ValueError) as error:
        known = {key: node for key, node in tree.items() if key not in command.as_typed}
        raise InputError(explain(known, command.function, command.name) or one_line(error)) from error
    command.check(values)
    return {name: value for name, value in values.items() if name != "config" and value is not None}


@contextmanager
def _nothing_half_written(out: Path) -> Iterator[None]:
    """Take back the directory, if it is new, when nothing was saved in it."""
    was_run = (out / "config.yaml").exists()
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        if not was_run and not _saved(out):
            folders = [out, *sorted((out / "stages").glob("*"))]
            for folder in folders:
                for file in ("config.yaml", "metrics.jsonl", "transport.json", "weights.safetensors"):
                    _try(lambda file=folder / file: file.unlink())
            for folder in (*(each / "checkpoints" for each in folders), *folders[1:], out / "stages", *created):
                _try(folder.rmdir)
        raise


def _saved(out: Path) -> bool:
    return any(out.glob("checkpoints/*.safetensors")) or any(out.glob("stages/*/checkpoints/*.safetensors"))


def _try(remove: Callable[[], None]) -> None:
    """Remove what is there and empty; something of another run is left alone."""
    with suppress(OSError):
        remove()
