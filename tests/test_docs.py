"""Every example in the documentation is executed: Python blocks as they stand, console lines that begin with `$ `."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fresh import run_console, run_python

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.M | re.S)


def blocks(kind: str) -> list:
    found = []
    for page in PAGES:
        matches = [m for m in BLOCK.finditer(page.read_text()) if m.group(1) == kind]
        found += [
            pytest.param(m.group(2), id=f"{page.stem}:{page.read_text()[: m.start()].count(chr(10)) + 1}")
            for m in matches
        ]
    return found


def environment() -> dict[str, str]:
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
    }


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block_runs(code, tmp_path):
    run_python(code, tmp_path)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```console" in page.read_text()], ids=lambda page: page.stem
)
def test_console_lines_run_in_order(page, tmp_path):
    for m in BLOCK.finditer(page.read_text()):
        if m.group(1) == "console":
            for line in m.group(2).splitlines():
                if line[:2] == "$ ":
                    run_console(line[2:], tmp_path)


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_example_runs(example, tmp_path):
    """Every example takes `--quick`, a size for tests."""
    command = [sys.executable, str(example), "--quick"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def test_links_between_pages_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_reference_is_current():
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    assert (ROOT / "docs" / "api.md").read_text() == generate["page"](), "run `make docs`"


def test_table_of_systems_is_current():
    from pushforward.recipes import systems_table

    assert (ROOT / "docs" / "systems.md").read_text() == systems_table(ROOT / "docs" / "results"), "run `make docs`"


def test_repository_names_no_private_place():
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    words = ["/wo" + "rk/", "sha" + "red/", "pypi." + "org", "files.python" + "hosted"]
    for name in files:
        if (ROOT / name).suffix in {".py", ".md", ".toml", ".yaml", ".txt", ".json", ""} and (ROOT / name).is_file():
            text = (ROOT / name).read_text(errors="replace")
            assert not [word for word in words if word in text], name
