"""The arguments of a command are those of its function: names, types and defaults by signature, help by docstring."""

from __future__ import annotations

import argparse
import inspect
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from docstring_parser import DocstringStyle
from docstring_parser import parse as parse_docstring

from pushforward.errors import InputError, nearest

__all__ = ["Argument", "Mark", "arguments_of", "parse", "usage"]


@dataclass(frozen=True)
class Mark:
    """What a signature cannot say of an argument: its `short` name, its placeholder `shows`, what it means without a
    value (`bare`).
    """

    short: str = ""
    shows: str = ""
    bare: str | None = None


@dataclass(frozen=True)
class Argument:
    """One argument of a command, as read off its function."""

    name: str
    kind: Any
    default: Any
    positional: bool
    mark: Mark
    about: str

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty

    @property
    def flag(self) -> str:
        """How it is written: `--log-every`, or `INPUT` for a positional one."""
        return self.name.upper() if self.positional else "--" + self.name.replace("_", "-")

    @property
    def many(self) -> bool:
        """Whether it takes several values."""
        return get_origin(self.kind) is list

    @property
    def item(self) -> Any:
        """The type of one value."""
        return get_args(self.kind)[0] if self.many else self.kind

    @property
    def shows(self) -> str:
        """The placeholder of its value: empty for a switch."""
        if self.kind is bool:
            return ""
        choices = "|".join(map(str, get_args(self.item))) if get_origin(self.item) is Literal else ""
        words = {int: "N", float: "X"}
        return self.mark.shows or choices or words.get(self.item, self.name.upper())

    @property
    def written(self) -> str:
        """Flag, short name and placeholder, as a help page shows them."""
        if self.positional:
            return self.mark.shows or self.flag + ("..." if self.many else "")
        flag = f"{self.mark.short}, {self.flag}" if self.mark.short else self.flag
        value = f"[{self.shows}]" if self.mark.bare else self.shows
        return f"{flag} {value}".strip() + (" ..." if self.many else "")


def arguments_of(function: Callable[..., Any]) -> list[Argument]:
    """Read the arguments of a command off its function: parameters before `*` are positional, the others options."""
    hints = get_type_hints(function, include_extras=True)
    docstring = parse_docstring(function.__doc__ or "", DocstringStyle.GOOGLE)
    about = {item.arg_name: item.description or "" for item in docstring.params}
    parameters = inspect.signature(function).parameters
    return [_argument(parameter, hints[name], about.get(name, "")) for name, parameter in parameters.items()]


def _argument(parameter: inspect.Parameter, hint: Any, about: str) -> Argument:
    mark = Mark()
    while get_origin(hint) in (Annotated, Union, types.UnionType):
        if get_origin(hint) is Annotated:
            hint, mark = get_args(hint)
        else:
            hint = next(part for part in get_args(hint) if part is not type(None))
    positional = parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    return Argument(parameter.name, hint, parameter.default, positional, mark, about)


def usage(program: str, function: Callable[..., Any]) -> str:
    """Return the line that shows how a command is called."""
    arguments = arguments_of(function)
    required = [item for item in arguments if item.required]
    optional = [item for item in arguments if not item.required]
    needed = [item.written if item.positional else f"{item.mark.short or item.flag} {item.shows}" for item in required]
    needed += [f"[{item.written}]" for item in optional if item.positional]
    rest = ["[options]"] if any(not item.positional for item in optional) else []
    return " ".join(["pushforward", program, *needed, *rest])


def parse(function: Callable[..., Any], argv: list[str], program: str) -> dict[str, Any]:
    """Turn the words of a command line into the arguments of `function`. Raises `InputError`, one line, for words that
    do not fit.
    """
    arguments = arguments_of(function)
    line = usage(program, function)
    parser = _Parser(line)
    for item in arguments:
        _add(parser, item)
    found, rest = parser.parse_known_args(argv)
    _refuse(rest, arguments, program, line)
    return {name: value for name, value in vars(found).items() if value is not inspect.Parameter.empty}


class _Parser(argparse.ArgumentParser):
    """The standard parser, but its complaints are `InputError`s in our words."""

    def __init__(self, line: str) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        self.line = line

    def error(self, message: str) -> NoReturn:
        missing = re.fullmatch(r"the following arguments are required: (.*)", message)
        if missing:
            names = [name.partition("/")[0] for name in missing[1].split(", ")]
            raise InputError(f"missing {' and '.join(names)}: {self.line}")
        message = re.sub(r"^argument ([^:/]+)(/[^:]+)?: ", r"\1 ", message)
        raise InputError(re.sub(r"expected (one|at least one) argument", f"needs a value: {self.line}", message))


def _add(parser: argparse.ArgumentParser, item: Argument) -> None:
    options: dict[str, Any] = {"default": item.default}
    if item.positional and item.many:
        parser.add_argument(item.name, metavar=item.flag, type=_reader(item.item), nargs="*", default=[])
        return
    if item.positional:
        count = None if item.required else "?"
        parser.add_argument(item.name, metavar=item.flag, type=_reader(item.item), nargs=count, **options)
        return
    flags = [item.flag, *([item.mark.short] if item.mark.short else [])]
    options |= {"dest": item.name, "required": item.required}
    if item.kind is bool:
        parser.add_argument(*flags, action="store_true", dest=item.name)
    elif item.many:
        parser.add_argument(*flags, action="extend", nargs="+", type=_reader(item.item), **options)
    elif item.mark.bare is not None:
        parser.add_argument(*flags, nargs="?", const=item.mark.bare, type=_reader(item.item), **options)
    else:
        parser.add_argument(*flags, type=_reader(item.item), **options)


def _reader(kind: Any) -> Callable[[str], Any]:
    words = {int: "a whole number", float: "a number"}

    def read(text: str) -> Any:
        if get_origin(kind) is Literal:
            if text not in get_args(kind):
                raise argparse.ArgumentTypeError(f"cannot be {text!r}{nearest(text, get_args(kind))}")
            return text
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {words.get(kind, kind.__name__)}, got {text!r}") from None

    return read


def _refuse(rest: list[str], arguments: list[Argument], program: str, line: str) -> None:
    """Raise `InputError` for words that nothing takes."""
    for word in rest:
        if word.startswith("-") and word != "-":
            known = [item.flag for item in arguments if not item.positional] + ["--help", "--debug"]
            name = word.partition("=")[0]
            raise InputError(f"{program} has no option {name!r}{nearest(name, known)}")
    if rest:
        raise InputError(f"{program} takes no {rest[0]!r}: {line}")
