"""What stands in a Python file: parsed and walked once for all tests of a process."""

import ast
from functools import cache
from pathlib import Path


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """All nodes, in the order of `ast.walk`."""
    return tuple(ast.walk(tree_of(path)))
