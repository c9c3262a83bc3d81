"""A room imports only from rooms to its left, and the core modules import no room."""

import ast
from pathlib import Path
from types import FunctionType

import pytest

import pushforward

PACKAGE = Path(pushforward.__file__).parent
LEVELS = [
    {"geometry", "measures"}, {"ot"}, {"metrics"}, {"networks"}, {"couplings", "paths"}, {"solvers"}, {"objectives"},
    {"maps", "gradient_flows", "samplers"}, {"training"}, {"distillation"}, {"steering", "alignment"},
    {"applications"}, {"recipes"}, {"report"}, {"cli"},
]  # fmt: skip
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py" and path != PACKAGE / "__init__.py")


def imported_modules(path: Path) -> set[str]:
    """Every pushforward module that the file imports, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("pushforward.")}


def room_of(name: str) -> str:
    return name.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_left(path):
    here = path.relative_to(PACKAGE).parts[0] if path.parent != PACKAGE else None
    for name in imported_modules(path):
        room = room_of(name)
        if room not in LEVEL:
            continue
        assert here is not None, f"core module {path.name} imports the room {room}"
        assert here == room or LEVEL[room] < LEVEL[here], (
            f"{path.relative_to(PACKAGE)} imports {name}, which is not to its left"
        )


def test_every_room_is_known():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert rooms <= set(LEVEL)


@pytest.mark.parametrize("room", sorted(room for room in LEVEL if (PACKAGE / room / "__init__.py").exists()))
def test_rooms_list_what_they_offer(room):
    module = __import__(f"pushforward.{room}", fromlist=["__all__"])
    assert module.__doc__
    offered = {name: getattr(module, name) for name in module.__all__}
    missing = [name for name, value in offered.items() if isinstance(value, type | FunctionType) and not value.__doc__]
    assert not missing, f"no docstring: {missing}"


def test_no_file_outgrows_one_idea():
    long = {
        str(path.relative_to(PACKAGE)): lines for path in FILES if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long
