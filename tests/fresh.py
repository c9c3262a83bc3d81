"""Programs in processes of their own that have torch and the library imported already: four seconds less for each."""

import multiprocessing
import os
import shlex
import subprocess
import sys
import types
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["pushforward.cli.distil", "pushforward.cli.recipe", "pushforward.report"])


def run_python(code: str, folder: Path) -> None:
    """Run a script in `folder`. Fails with its output unless it ends well."""
    _run(_execute, code, folder)


def run_console(line: str, folder: Path) -> None:
    """Run a line of the shell in `folder`; `pushforward` is not looked for on the path. Fails with its output unless it
    ends well.
    """
    words = shlex.split(line)
    if words[0] == "pushforward":
        _run(_command, words[1:], folder)
    else:
        subprocess.run(["bash", "-c", line], cwd=folder, check=True)


def _run(target, argument, folder: Path) -> None:
    log = folder / "output-of-the-example.txt"
    process = _CONTEXT.Process(target=_within, args=(target, argument, folder, log))
    process.start()
    process.join(300)
    ended = process.exitcode
    process.kill()
    assert ended == 0, f"{argument}\n{log.read_text()[-3000:]}"
    log.unlink()


def _within(target, argument, folder: Path, log: Path) -> None:
    os.chdir(folder)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    target(argument)


def _execute(code: str) -> None:
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    exec(compile(code, "<example>", "exec"), module.__dict__)


def _command(words: list[str]) -> None:
    from pushforward.cli import main

    sys.exit(main(words))
