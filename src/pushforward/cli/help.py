"""`pushforward help`: pages about commands, rooms, pieces and data, all made from docstrings and signatures."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args, get_origin

from docstring_parser import DocstringStyle
from docstring_parser import parse as parse_docstring

from pushforward.citations import Reference
from pushforward.cli import distil as distil_command
from pushforward.cli import fit as fit_command
from pushforward.cli import multimarginal as multimarginal_command
from pushforward.cli import recipe
from pushforward.cli.arguments import arguments_of, usage
from pushforward.cli.configured import SWITCHES, Command
from pushforward.cli.main import COMMANDS, module_of, overview
from pushforward.cli.pieces import bases_of, classes_of, options_of, public_classes, type_text, ways_to
from pushforward.cli.terminal import bold
from pushforward.configuration import find_class
from pushforward.errors import InputError, nearest
from pushforward.measures import named_measures
from pushforward.training import Trainer

__all__ = ["page", "run"]

DATA = {
    "PATH": "a file in .npy .npz .csv .tsv .parquet .h5ad or idx format, or a folder of images",
    "KEY": "what in it holds the points: columns a,b of a table; an array of an .npz; X, layers/NAME or obsm/NAME of "
    "an .h5ad",
    "COLUMN=VALUE": "keep the rows where it holds; VALUE may be a list a,b",
    "@COLUMN": "weigh the rows by it",
}

PLACEHOLDERS = {
    "marginals": "SPEC",
    "out": "RUN",
    "source": "SPEC",
    "target": "SPEC",
    "condition": "NAMES",
    "init": "RUN",
    "teacher": "RUN",
}

TRAINING = {"fit": fit_command, "multimarginal": multimarginal_command, "distil": distil_command}
"""The commands that train, in the order in which a piece is looked for among their options."""


def run(argv: list[str]) -> int:
    """Print the page about a topic."""
    print(page(argv))
    return 0


def page(words: list[str]) -> str:
    """Return the page about a command (`fit`, `recipe run`), a room (`couplings`), a piece (`MLP`) or `data`. Raises
    `InputError` for another.
    """
    topic = words[0] if words else ""
    if topic in ("", "help"):
        return overview() + "\n\n" + _topics()
    if topic in TRAINING:
        return _training_page(TRAINING[topic].COMMAND, TRAINING[topic].run)
    if topic.startswith("--"):
        return _option_page(topic[2:].removesuffix(".help"))
    if topic == "recipe":
        return _recipe_page(words[1] if len(words) > 1 else None)
    if topic in (commands := [name for group in COMMANDS.values() for name in group]):
        module = module_of(topic)
        return _function_page(topic, getattr(module, module.__name__.rpartition(".")[2]))
    if topic in ("data", "measures"):
        head = f"{bold('Files')} are written PATH[:KEY][:COLUMN=VALUE]...[:@COLUMN]"
        return f"{head}\n{_rows(DATA.items())}\n\n{bold('Named measures')}\n{_rows(named_measures().items())}"
    rooms = public_classes()
    if topic in rooms:
        return _room_page(topic, rooms[topic])
    known = [*commands, "data", *rooms, *(name for classes in rooms.values() for name in classes)]
    if topic.rpartition(".")[2] not in known:
        raise InputError(f"no help on {topic!r}{nearest(topic, known)}")
    return _class_page(find_class(topic))


def _topics() -> str:
    swaps = [(room, ", ".join(found)) for room, classes in public_classes().items() if (found := _pieces(classes))]
    return "\n".join([bold("Topics of help"), _rows([("data", "how files and named measures are written"), *swaps])])


def _pieces(classes: dict[str, type]) -> dict[str, type]:
    """Return the classes that a training can be told to use."""
    return {name: cls for name, cls in classes.items() if not inspect.isabstract(cls) and _way(cls)[1]}


def _way(cls: type) -> tuple[Command, list[tuple[str, str]]]:
    """Return a command that comes to use a class, and the options by which it does; none for a class of no use."""
    commands = [module.COMMAND for module in TRAINING.values()]
    chains = [(command, ways_to(cls, command.function)) for command in commands]
    return next((found for found in chains if found[1]), chains[0])


def _training_page(command: Command, run: Callable[[list[str]], int]) -> str:
    function, name = command.function, f"pushforward {command.name}"
    options, about = options_of(function), _descriptions(function) | dict(command.about)
    pieces = {name: hint for name, (hint, _) in options.items() if bases_of(hint) and not _is_settled(hint)}
    trainer, often = options_of(Trainer), ["steps", "batch_size", "learning_rate"]
    rows = {
        name: _option(f"trainer.{name}", *trainer[name], about=text) for name, text in _descriptions(Trainer).items()
    }
    ways = [command.usage, f"{name} --config FILE.yaml --out {command.out}", f"{name} --resume --out {command.out}"]
    used = [
        *((word.upper(), about[word]) for word in command.words),
        *(_option(name, *options[name], about=about[name]) for name in command.often),
        *(rows[name] for name in often),
        ("--config FILE", "options from a YAML file, as config.yaml of a run; options given as well go before"),
        *((f"--{name}", text) for name, text in SWITCHES.items()),
    ]
    swaps = [(f"--{name} CLASS", f"{about[name]}: {type_text(hint)}") for name, hint in pieces.items()]
    blocks = [
        _intro(run),
        "\n  ".join([bold("Usage"), *ways]),
        f"{bold('What people use most')}\n{_rows(used)}",
        f"{bold('Every piece is swappable')}: name its class, then set its options; --NAME.help CLASS tells them\n"
        f"{_rows(swaps)}\n  for example  {command.swap}",
        f"{bold('Training')}\n{_rows(row for name, row in rows.items() if name not in often)}",
        f"{bold('Examples')}\n{textwrap.indent(command.examples, '  ')}",
    ]
    return "\n\n".join(blocks)


def _is_settled(hint: Any) -> bool:
    """Whether a piece has one class only, the one named: its options are listed as they are."""
    return list(classes_of(bases_of(hint)[0]).values()) == bases_of(hint)


def _recipe_page(action: str | None) -> str:
    if action in recipe.ACTIONS:
        return _function_page(f"recipe {action}", recipe.ACTIONS[action])
    rows = [
        (usage(f"recipe {name}", function).removeprefix("pushforward "), _summary(function))
        for name, function in recipe.ACTIONS.items()
    ]
    return f"{COMMANDS['Published systems']['recipe']}\n\n{_rows(rows)}"


def _function_page(program: str, function: Callable[..., Any]) -> str:
    arguments = arguments_of(function)
    first = [item for item in arguments if item.required or item.positional]
    needed = [(item.written, item.about.rstrip(".")) for item in first]
    others = [
        (item.written, item.about.rstrip(".") + _default(item.default)) for item in arguments if item not in first
    ]
    blocks = [_intro(function), f"{bold('Usage')}\n  {usage(program, function)}"]
    blocks += [f"{bold('Arguments')}\n{_rows(needed)}"] if needed else []
    blocks += [f"{bold('Options')}\n{_rows(others)}"] if others else []
    examples = parse_docstring(function.__doc__ or "", DocstringStyle.GOOGLE).examples
    blocks += [f"{bold('Examples')}\n{textwrap.indent(str(item.description), '  ')}" for item in examples]
    return "\n\n".join(blocks)


def _room_page(room: str, classes: dict[str, type]) -> str:
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, cls in _pieces(classes).items():
        key, _ = _way(cls)[1][-1]
        groups.setdefault(key, []).append((name, _summary(cls)))
    if not groups:
        raise InputError(f"{room} holds nothing that a training can be told to use; see pushforward help data")
    ordered = sorted(groups.items(), key=lambda item: item[0].count("."))
    blocks = [f"{bold('--' + key)}\n{_rows(rows)}" for key, rows in ordered]
    return "\n\n".join([*blocks, "pushforward help CLASS tells the options of one."])


def _option_page(key: str) -> str:
    """List the classes that an option of a training takes, such as `--objective.time`."""
    rows = [
        (name, _summary(cls))
        for classes in public_classes().values()
        for name, cls in _pieces(classes).items()
        if _way(cls)[1][-1][0] == key
    ]
    if not rows:
        functions = [module.COMMAND.function for module in TRAINING.values()]
        known = [name for each in functions for name, (hint, _) in options_of(each).items() if bases_of(hint)]
        raise InputError(f"no option --{key} takes a class{nearest(key, known)}")
    return f"{bold('--' + key)}\n{_rows(rows)}\n\npushforward help CLASS tells the options of one."


def _class_page(cls: type) -> str:
    command, chain = _way(cls)
    key = chain[-1][0] if chain else cls.__name__
    about = _descriptions(cls)
    options = [
        _option(f"{key}.{name}", hint, default, about=_choices(hint, about.get(name, "")))
        for name, (hint, default) in options_of(cls).items()
    ]
    call = " ".join(f"--{option} {name}" for option, name in chain)
    blocks = [bold(cls.__name__), _prose(cls)]
    usage = command.usage.removesuffix("[options]")
    blocks += [f"{bold('Use')}\n  {usage}{call}"] if call else []
    blocks += [f"{bold('Options')}\n{_rows(options)}"] if options else []
    references: tuple[Reference, ...] = getattr(cls, "references", ())
    papers = [f"  {item.title} ({item.year}{f', arXiv:{item.arxiv}' if item.arxiv else ''})" for item in references]
    return "\n\n".join([*blocks, *(["\n".join([bold("Papers"), *papers])] if papers else [])])


def _choices(hint: Any, about: str) -> str:
    """Add to what is said of an option the classes that it takes."""
    return f"{about}: {type_text(hint)}".removeprefix(": ") if bases_of(hint) else about


def _option(name: str, hint: Any, default: Any, *, about: str) -> tuple[str, str]:
    """Return the row of an option: how it is written, what it is and, in brackets, what it is when not given."""
    known = isinstance(default, int | float | str) and default != ""
    shown = f" ({str(default).lower() if isinstance(default, bool) else default})" if known else ""
    return f"--{name} {PLACEHOLDERS.get(name) or _placeholder(hint)}", about + shown


def _placeholder(hint: Any) -> str:
    parts = (hint, *get_args(hint))
    literal = next((part for part in parts if get_origin(part) is Literal), None)
    if literal is not None:
        return "|".join(map(str, get_args(literal)))
    words = {int: "N", float: "X", bool: "true|false"}
    return next((words[part] for part in parts if part in words), "CLASS" if bases_of(hint) else "VALUE")


def _default(value: Any) -> str:
    return f" ({value})" if isinstance(value, int | float | str) and not isinstance(value, bool) else ""


def _descriptions(owner: Any) -> dict[str, str]:
    found = parse_docstring(inspect.getdoc(owner) or "", DocstringStyle.GOOGLE)
    return {item.arg_name: (item.description or "").rstrip(".") for item in found.params}


def _summary(owner: Any) -> str:
    return " ".join((inspect.getdoc(owner) or "").partition("\n\n")[0].split()).replace("`", "")


def _intro(owner: Any) -> str:
    """Return the paragraphs of a docstring before its sections."""
    found = parse_docstring(inspect.getdoc(owner) or "", DocstringStyle.GOOGLE)
    text = "\n\n".join(part for part in (found.short_description, found.long_description) if part)
    return _wrapped(text)


def _prose(cls: type) -> str:
    """Return the docstring of a class without doctests, arguments and what it raises."""
    text = re.split(r"\n\s*(?:Args:|>>> |Raises:)", inspect.getdoc(cls) or "")[0]
    return _wrapped(text)


def _wrapped(text: str) -> str:
    paragraphs = text.replace("`", "").replace("**", "").split("\n\n")
    return "\n\n".join(
        part if part.lstrip().startswith("- ") else textwrap.fill(" ".join(part.split()), _width())
        for part in paragraphs
    )


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    """Set two columns, the right one wrapped; a long left one stands on a line of its own."""
    pairs = [(left, right.replace("`", "").strip()) for left, right in rows]
    column = min(max((len(left) for left, _ in pairs), default=0), 34) + 4
    lines = []
    for left, right in pairs:
        body = textwrap.wrap(right, max(30, _width() - column)) or [""]
        first = f"  {left}".ljust(column)
        indented = [" " * column + line for line in body]
        fits = len(left) + 4 <= column
        lines += [first + body[0], *indented[1:]] if fits else [first.rstrip(), *indented]
    return "\n".join(lines)


def _width() -> int:
    return min(110, shutil.get_terminal_size((100, 24)).columns)
