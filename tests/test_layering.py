"""A room uses only the rooms above it, and heavy packages stay where they belong."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import convbench

ROOT = Path(convbench.__file__).parent
ROOMS = (
    "errors exit_codes files version spec case suites backend backends outcome machine data verify explain bench run rows store compare "
    "show cli"
).split()
TORCH_AT_TOP = {"backends", "data", "verify", "explain", "bench", "run"}
FILES = sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(tree: ast.AST, *, top_only: bool) -> Iterator[str]:
    nodes = ast.iter_child_nodes(tree) if top_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_file_lives_in_a_known_room() -> None:
    assert {room_of(path) for path in FILES} - {"__init__", "__main__"} == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_uses_only_the_rooms_above_its_own(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__", "cli"):
        return
    own = ROOMS.index(room)
    for name in imports(ast.parse(path.read_text()), top_only=False):
        parts = name.split(".")
        if parts[0] == "convbench" and len(parts) > 1 and parts[1] in ROOMS:
            used = ROOMS.index(parts[1])
            assert used <= own, f"{room} uses {parts[1]}, which is below it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_packages_stay_where_they_belong(path: Path) -> None:
    room, tree = room_of(path), ast.parse(path.read_text())
    top = {name.partition(".")[0] for name in imports(tree, top_only=True)}
    anywhere = {name.partition(".")[0] for name in imports(tree, top_only=False)}
    assert "torch" not in top or room in TORCH_AT_TOP
    assert "torchvision" not in top  # its import takes longer than all the rest
    assert "torchvision" not in anywhere or room == "data"
    assert "pandas" not in top
    assert "rich" not in anywhere or room in ("show", "cli")
    assert "typer" not in anywhere or room in ("cli",)


@pytest.mark.parametrize("words", [["--help"], ["bench", "--help"], ["list", "backends"], ["list", "suites"]])
def test_help_and_lists_import_no_heavy_package(words: list[str]) -> None:
    heavy = {"torch", "torchvision", "pandas", "numpy", "PIL"} | ({"pydantic", "rich"} if "--help" in words else set())
    code = (
        "import sys\nfrom convbench.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("HEAVY []\n")
