"""The workflows of docs/ci: valid YAML, and lines that a shell runs in order and that convbench takes."""

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from convbench.cli import make_app

CI = Path(__file__).parents[1] / "docs" / "ci"
FILES = sorted(CI.glob("*.yml"))
# What a runner sets.
RUNNER = {"GITHUB_BASE_REF": "main", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
# A command that writes its name and its words, and exits as it is told.
STAND_IN = '#!/bin/sh\nprintf "%s\\n" "$(basename "$0") $*" >> "$LOG"\ncase "$*" in $FAILS*) exit "$CODE";; esac\n'


def shell_lines(path: Path) -> list[str]:
    """What the job runs, line by line, without a YAML parser."""
    text = path.read_text(encoding="utf-8")
    if path.stem == "gitlab":
        script = text.partition("  script:\n")[2].partition("  artifacts:")[0]
        return re.findall(r"^    - (.*)$", script, re.MULTILINE)
    lines = []
    for block, line in re.findall(r"^        run: (?:\|\n((?:          .*\n)+)|(.+)\n)", text, re.MULTILINE):
        lines += [one.strip() for one in block.splitlines()] if block else [line]
    return lines


def variables(path: Path) -> dict[str, str]:
    """Those that the job sets."""
    found = re.findall(r'^ +([A-Z]+): "?([^"#\n]*?)"?(?: #.*)?$', path.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def run_job(path: Path, folder: Path, *, fails: str = "nothing", code: int = 0) -> tuple[int, list[str]]:
    """The job's exit code and its commands, as a runner would: stopped by the first that fails."""
    commands = folder / "bin"
    commands.mkdir()
    for name in ("pip", "git", "convbench"):
        (commands / name).write_text(STAND_IN)
        (commands / name).chmod(stat.S_IRWXU)
    log = folder / "log"
    log.touch()
    own = {"PATH": f"{commands}:{os.environ['PATH']}", "LOG": str(log), "FAILS": fails, "CODE": str(code)}
    own |= {"GITHUB_STEP_SUMMARY": str(folder / "summary.md"), **RUNNER, **variables(path)}
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(shell_lines(path))],
        env=own, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, log.read_text().splitlines()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_job_runs_its_lines_in_order_and_convbench_takes_each_of_them(path: Path, tmp_path: Path) -> None:
    code, log = run_job(path, tmp_path)
    assert code == 0
    assert [line.split()[:2] for line in log if not line.startswith("git")] == [
        ["pip", "install"],
        ["convbench", "verify"],
        ["convbench", "bench"],
        ["convbench", "bench"],
        ["convbench", "compare"],
    ]
    assert log[0] == "pip install convbench"
    for line in log:
        program, name, *words = shlex.split(line)
        if program == "convbench":
            app: Any = typer.main.get_command(make_app(name))
            command = app.commands[name]
            context = command.make_context(name, words)  # raises for what it does not take
            assert all(value != "" for value in context.params.values()), line
    before, after = (line for line in log if line.startswith("convbench bench"))
    assert before.replace("../before/", "").replace("--keep before", "--keep after") == after
    assert "compare before after --relative" in log[-1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize(("fails", "code"), [("verify", 1), ("bench", 1), ("compare", 1), ("compare", 3)])
def test_the_job_fails_with_the_command_that_fails(path: Path, tmp_path: Path, fails: str, code: int) -> None:
    found, log = run_job(path, tmp_path, fails=fails, code=code)
    assert found == code
    assert log[-1].split()[1] == fails


@pytest.mark.needs("yaml")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_yaml_parser_reads_the_same_lines(path: Path) -> None:
    import yaml

    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    job = whole["convolution"] if path.stem == "gitlab" else whole["jobs"]["gate"]
    if path.stem == "gitlab":
        assert job["script"] == shell_lines(path)
        assert job["artifacts"]["reports"]["junit"] == ["verify.xml", "compare.xml"]
        assert {name: str(value) for name, value in job["variables"].items() if "_" not in name} == variables(path)
    else:
        runs = [step["run"] for step in job["steps"] if "run" in step]
        assert [line for run in runs for line in run.splitlines()] == shell_lines(path)
        assert {name: str(value) for name, value in job["env"].items()} == variables(path)


@pytest.mark.program
def test_the_job_of_gitlab_runs_as_it_is_on_a_kernel_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    kernel = (
        "import torch.nn.functional as F\nfrom convbench import backend\n\n"
        "@backend(family='direct', source='mine')\ndef my_conv(x, w, spec):\n"
        "    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)\n"
    )
    (folder / "my_conv.py").write_text(kernel)
    commands = tmp_path / "bin"
    commands.mkdir()
    stand_ins = {
        "pip": "exit 0",
        # A checkout of the target branch.
        "git": f'if [ "$1" = worktree ]; then mkdir -p ../before && cp {folder}/my_conv.py ../before/; fi',
        # The suite that every kernel is verified on is for a runner.
        "convbench": 'case "$1" in verify) touch verify.xml; exit 0;; '
        'bench) set -- "$@" --no-isolate --no-ceilings --min-rounds 3 --budget 0.05;; '
        f'esac\n{sys.executable} -m convbench "$@"',
    }
    for name, text in stand_ins.items():
        (commands / name).write_text(f"#!/bin/sh\n{text}\n")
        (commands / name).chmod(stat.S_IRWXU)
    (tmp_path / "tiny.csv").write_text("name,n,c,h,w,k,r,s\ntiny,1,4,9,9,8,3,3\n")
    own = {
        **os.environ,
        **RUNNER,
        **variables(CI / "gitlab.yml"),
        "SUITE": str(tmp_path / "tiny.csv"),
        "ALLOWED": "900%",
    }
    own["PATH"] = f"{commands}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(shell_lines(CI / "gitlab.yml"))],
        env=own, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {one.name for one in folder.iterdir()} >= {"verify.xml", "compare.xml", ".convbench"}
    assert {one.name for one in (folder / ".convbench").iterdir()} == {"before.csv", "after.csv"}
