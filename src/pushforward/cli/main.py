"""The entry: finds the command, runs it, and turns every mistake of a user into one line and exit code 2."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from types import ModuleType

from pushforward.cli.arguments import parse
from pushforward.cli.terminal import bold, complain, tidy_warnings
from pushforward.errors import InputError, MissingExtra, nearest

__all__ = ["COMMANDS", "dispatch", "main", "module_of", "overview"]

COMMANDS = {
    "Learn": {
        "fit": "Learn a flow that moves SOURCE onto TARGET.",
        "multimarginal": "Learn flows between any two of several distributions.",
        "distil": "Make out of a trained flow one that needs few evaluations.",
    },
    "Solve": {"ot": "Move one set of points onto another at the least cost."},
    "Use": {
        "between": "Take the flow between two distributions out of a multimarginal run.",
        "push": "Carry samples of the source to the target.",
        "pull": "Carry samples of the target back to the source.",
        "label": "Read the labels off samples of the target.",
        "log-prob": "Tell how likely samples are under the transport.",
    },
    "Judge": {
        "evaluate": "Measure how good a transport is, every metric beside its floor.",
        "report": "Write one self-contained page about a run.",
    },
    "Published systems": {"recipe": "List, show and run the recipes of published systems."},
    "More": {"help": "Explain a command, a room of pieces, a piece, or how data are named."},
}
"""Commands by purpose, with the first line of their help: this module must not import them, so that help is quick."""

EXAMPLES = """\
  pushforward fit gaussian moons-torchdyn --out moons        learn to sample
  pushforward push moons gaussian --rows 500 -o new.csv      draw 500 new points
  pushforward fit before.csv after.csv --out change          learn a change from two files
  pushforward push change before.csv -o predicted.csv        apply it
  pushforward report change                                  look at it
  pushforward ot before.csv after.csv                        tell how far apart they are"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 a claim missed or a training that diverged, 2 a mistake in
    what was given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        with tidy_warnings(debug):
            code = _command(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read the output has seen enough
        return 141
    except KeyboardInterrupt:
        complain("interrupted", "nothing more was written")
        return 130
    except Exception as error:
        line = _mistake(error)
        if line is None:
            raise
        if debug:
            traceback.print_exc()
        complain("error", line)
        return 2
    finally:
        _silence_if_broken()


def _command(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"pushforward {_version()}")
        return 0
    name, rest = words[0], words[1:]
    known = [command for group in COMMANDS.values() for command in group]
    if name not in known:
        raise InputError(f"no command {name!r}{nearest(name, known)}; see pushforward --help")
    asked = [word for word in rest if word in ("-h", "--help") or word.endswith(".help") or ".help=" in word]
    if asked:
        name, rest = "help", _topic(name, rest, asked[0])
    module = module_of(name)
    own = getattr(module, "run", None)
    return own(rest) if own else dispatch(getattr(module, module.__name__.rpartition(".")[2]), rest, name)


def _topic(name: str, rest: list[str], asked: str) -> list[str]:
    """Return what help is wanted on: the command, its action (`recipe run --help`), or a piece (`fit --network.help
    MLP`).
    """
    if asked in ("-h", "--help"):
        return [name, *(word for word in rest if word != asked)][:2]
    option, _, piece = asked.partition("=")
    after = rest[rest.index(asked) + 1 :][:1]
    return [piece or next(iter(after), "") or option]


def dispatch(function: Callable[..., int | None], argv: list[str], program: str) -> int:
    """Call the function of a command with the arguments that `argv` gives."""
    return function(**parse(function, argv, program)) or 0


def module_of(command: str) -> ModuleType:
    """Import the module of a command."""
    return importlib.import_module(f"pushforward.cli.{command.replace('-', '_')}")


def overview() -> str:
    """Return the front page of the help."""
    blocks = ["pushforward moves one probability distribution onto another.", bold("Start here") + "\n" + EXAMPLES]
    for title, commands in COMMANDS.items():
        blocks.append("\n".join([bold(title), *(f"  {name:10}{about}" for name, about in commands.items())]))
    blocks.append(
        "pushforward COMMAND --help explains a command, pushforward --version tells the version;\n"
        "--debug with any command shows where an error came from."
    )
    return "\n\n".join(blocks)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pushforward")
    except PackageNotFoundError:
        return "(not installed)"


def _mistake(error: Exception) -> str | None:
    """Return the line that explains an error which the user can mend, else `None`."""
    if isinstance(error, InputError | MissingExtra):
        return str(error)
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return f"not enough memory: use fewer rows or smaller batches ({str(error)[:120] or 'no details'})"
    if isinstance(error, OSError) and error.errno is not None:
        where = f" {error.filename!r}" if error.filename else ""
        reason = os.strerror(error.errno).lower()
        return f"cannot write{where}: {reason}" if error.errno == errno.ENOSPC else f"{reason}{where}"
    return None


def _silence_if_broken() -> None:
    """Point standard output at nothing if it takes no more, so that the interpreter's last flush does not complain
    again.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
