"""A room uses only the rooms above it, and heavy packages stay where they belong."""

import ast
import subprocess
import sys
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

import pytest

import convbench
from tests.sources import nodes_of, tree_of

ROOT = Path(convbench.__file__).parent
ROOMS = (
    "errors exit_codes files table_file expressions environment system printing version dtypes spec device case shards "
    "machine tuned suites data backend functions discovery jit kernels backends outcome runs call workers schema rows "
    "anonymous store kept verify ceilings bench models graph ran explain selection session tune rerun bundle "
    "compare history merge fleet slurm ray run optimize show ci testing results api cli"
).split()
TORCH_AT_TOP = set(
    "kernels backends call data workers verify ceilings bench models graph ran explain run optimize".split()
)
FILES = sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(path: Path, *, top_only: bool) -> Iterator[str]:
    for node in tree_of(path).body if top_only else nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_file_lives_in_a_known_room() -> None:
    assert {room_of(path) for path in FILES} - {"__init__", "__main__"} == set(ROOMS)


def test_a_file_uses_only_the_rooms_above_its_own() -> None:
    for path in FILES:
        room = room_of(path)
        if room in ("__init__", "__main__", "cli"):
            continue
        own = ROOMS.index(room)
        for name in imports(path, top_only=False):
            parts = name.split(".")
            if parts[0] == "convbench" and len(parts) > 1 and parts[1] in ROOMS:
                used = ROOMS.index(parts[1])
                assert used <= own, f"{path}: {room} uses {parts[1]}, which is below it"


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def used_modules(path: Path, modules: Container[str]) -> set[str]:
    """The modules of the package that a file imports, wherever in it: within functions and for types as well."""
    used = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            used |= {name if (name := f"{node.module}.{one.name}") in modules else node.module for one in node.names}
    return {name for name in used if name in modules}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of nodes of which each leads to every other (Tarjan 1972), none of a single node."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        path.append(node)
        for other in sorted(graph[node]):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in path:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            group = path[path.index(node) :]
            del path[path.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in order:
            visit(node)
    return found


def test_no_two_files_import_each_other_in_a_circle() -> None:
    modules = {module_of(path) for path in FILES}
    assert circles({module_of(path): used_modules(path, modules) - {module_of(path)} for path in FILES}) == []


def test_a_circle_is_found_through_imports_within_functions_and_for_types(tmp_path: Path) -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set[str]()}
    assert circles(graph) == [["a", "b", "c"]]
    file = tmp_path / "file.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from convbench.verify import exam\n"
        "def f():\n    import convbench.spec\n    from convbench.case import Case\n"
    )
    modules = {"convbench.verify", "convbench.verify.exam", "convbench.spec", "convbench.case"}
    assert used_modules(file, modules) == {"convbench.verify.exam", "convbench.spec", "convbench.case"}


def test_nobody_but_the_devices_compares_names_of_devices() -> None:
    """What differs between devices is a property of `Device`, so that another kind is one file."""
    outside = [path for path in FILES if room_of(path) != "device"]
    for where, node in ((path, node) for path in outside for node in nodes_of(path)):
        sides: list[ast.expr] = []
        if isinstance(node, ast.MatchValue):
            sides = [node.value]
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for side in list(sides):
                sides += side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else []
            if isinstance(node.ops[0], ast.In | ast.NotIn) and not isinstance(node.comparators[0], ast.Tuple | ast.Set):
                sides = []  # a word looked for in a text
        names = {side.value for side in sides if isinstance(side, ast.Constant)} & {"cpu", "cuda"}
        assert not names, f"{where}: {ast.unparse(node)}"


def test_heavy_packages_stay_where_they_belong() -> None:
    for path in FILES:
        room = room_of(path)
        top = {name.partition(".")[0] for name in imports(path, top_only=True)}
        anywhere = {name.partition(".")[0] for name in imports(path, top_only=False)}
        assert "torch" not in top or room in TORCH_AT_TOP, path
        assert "torchvision" not in top, path  # its import takes longer than all the rest
        assert "torchvision" not in anywhere or room in ("data", "models"), path
        assert "pandas" not in top, path
        assert "rich" not in anywhere or room in ("show", "cli"), path
        assert "typer" not in anywhere or room in ("cli",), path


SAME = str(ROOT.parent / "results" / "quick-cpu-zen4.csv")


@pytest.mark.parametrize(
    "words",
    [["--help"], ["bench", "--help"], ["list", "backends"], ["list", "suites", "resnet18"], ["compare", SAME, SAME]],
    ids=lambda words: " ".join(words[:2]) if "compare" not in words else "compare",
)
def test_help_lists_and_compare_import_no_heavy_package(words: list[str]) -> None:
    heavy = {"torch", "torchvision", "pandas", "numpy", "PIL"} | ({"rich"} if "--help" in words else set())
    if words[1:] != ["backends"]:  # it has options that are lists, which typer converts
        heavy.add("pydantic")
    code = (
        "import sys\nfrom convbench.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("HEAVY []\n")
