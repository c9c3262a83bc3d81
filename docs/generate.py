"""Write `docs/api.md`, the reference of every public name, from the docstrings: `make docs`."""

import importlib
import inspect
from pathlib import Path

import pushforward

HEAD = "# Reference\n\nEvery public name by room, from the docstrings. Made by `make docs`; never edited by hand.\n"


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(section(room) for room in pushforward.ROOMS)


def section(room: str) -> str:
    """Return the part of one room."""
    module = importlib.import_module(f"pushforward.{room}")
    entries = [entry(f"{room}.{name}", getattr(module, name)) for name in sorted(module.__all__, key=str.lower)]
    return f"\n## {room}\n\n{inspect.getdoc(module)}\n\n" + "".join(entries)


def entry(name: str, value: object) -> str:
    """Return one line: the name, how it is called, and its first sentence."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return f"- **`{name}`**\n"
    summary = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")
    return f"- **`{name}`** `{signature(value)}`: {summary}\n"


def signature(value: object) -> str:
    """Return the names of the arguments; those with a default are marked by `=`."""
    try:
        parameters = inspect.signature(value).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "()"
    named = [p.name + ("=" if p.default is not p.empty else "") for p in parameters]
    return f"({', '.join(named)})"


if __name__ == "__main__":
    Path(__file__).with_name("api.md").write_text(page())
