"""The files of docs/fleet: valid, and lines that a shell runs and convbench takes."""

import ast
import os
import re
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from convbench.cli.planned import parsed

RECIPES = Path(__file__).parents[2] / "docs" / "fleet"


def scripts_of(name: str) -> list[str]:
    """The shell scripts in a recipe, with what the engine fills in."""
    import yaml

    found: Any = yaml.safe_load((RECIPES / name).read_text(encoding="utf-8"))
    if name == "kubernetes.yml":
        (container,) = found["spec"]["template"]["spec"]["containers"]
        assert container["command"] == ["bash", "-c"]
        return list(container["args"])
    steps = [step for job in found["jobs"].values() for step in job["steps"]]
    return [step["run"].replace("${{ matrix.shard }}", "3") for step in steps if "run" in step]


@pytest.mark.needs("yaml")
@pytest.mark.parametrize("name", ["kubernetes.yml", "github.yml"])
def test_every_command_of_a_recipe_is_one(name: str) -> None:
    commands = []
    for script in scripts_of(name):
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
        commands += re.findall(r"^ *convbench (.*?)(?: \|\| code=\$\?)?$", script.replace("\\\n", ""), re.MULTILINE)
    sweeps = [words for words in map(shlex.split, commands) if words[0] in ("bench", "verify")]
    assert sweeps
    for sweep, *words in sweeps:
        assert parsed(sweep, words)["shard"]
    assert {words.split()[0] for words in commands} <= {"bench", "merge", "report"}


@pytest.mark.needs("yaml")
@pytest.mark.parametrize("name", ["kubernetes.yml", "github.yml"])
@pytest.mark.parametrize(("code", "seen"), [(0, 0), (1, 0), (3, 0), (2, 2), (137, 137)])
def test_a_shard_with_results_is_a_success_for_the_engine(name: str, code: int, seen: int, tmp_path: Path) -> None:
    (script,) = [one for one in scripts_of(name) if "convbench bench" in one]
    stand_in = tmp_path / "convbench"
    stand_in.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit {code}\n')
    stand_in.chmod(stat.S_IRWXU)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": "2"}
    done = subprocess.run(
        ["bash", "-e", "-c", script] if name == "github.yml" else ["bash", "-c", script], env=environment, check=False
    )
    assert done.returncode == seen
    assert re.search(r"--shard 3/\d+ --csv part-\d.csv", (tmp_path / "asked").read_text())


def test_the_recipe_for_reframe_is_python_with_a_command_that_is_one() -> None:
    tree = ast.parse((RECIPES / "reframe_convbench.py").read_text(encoding="utf-8"))
    (lists,) = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "executable_opts" in ast.dump(node.targets[0])
    ]
    assert isinstance(lists, ast.List)
    words = [str(one.value) if isinstance(one, ast.Constant) else "3/16" for one in lists.elts]
    assert parsed(words[0], words[1:])["shard"] == "3/16"
