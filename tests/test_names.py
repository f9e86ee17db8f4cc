"""Does each name mean one thing? A class name is defined once in convbench."""

import ast
from collections import defaultdict
from pathlib import Path

import convbench
from tests.sources import nodes_of

PACKAGE = Path(convbench.__file__).parent


def defined_classes(folder: Path) -> dict[str, list[str]]:
    """Where each class of a folder's files is defined, by name."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(f"{path.relative_to(folder).as_posix()}:{node.lineno}")
    return found


def test_each_class_name_is_defined_once() -> None:
    found = defined_classes(PACKAGE)
    assert {"ConvSpec", "Case", "Session"} <= set(found)
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_a_class_name_that_is_defined_twice_is_found(tmp_path: Path) -> None:
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("class Twice: ...\n")
    assert defined_classes(tmp_path) == {"Twice": ["one.py:1", "two.py:1"]}
