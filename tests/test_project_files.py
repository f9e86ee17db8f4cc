"""What the project's own files say is true: names of files, versions, suites, tools."""

import re
import tomllib
from pathlib import Path

import pytest

from convbench.suites import suite_names

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:convbench|tests|docs)/[\w./]*)`", CONTRIBUTING)))
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in NAMED if "NAME" not in name])
def test_contributing_names_files_that_exist(name: str) -> None:
    assert (ROOT / name).is_dir() if name.endswith("/") else (ROOT / name).is_file()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("convbench/verify/answers.py", ["def question(", "class Answers:"]),
        ("convbench/verify/trial.py", ["def _findings("]),
        ("convbench/verify/selftest/mutants/behaviour.py", ["BEHAVIOUR = (", "@bug("]),
        ("convbench/explain/questions/__init__.py", ["QUESTIONS = ", "class Question:"]),
        ("convbench/cli/why.py", ["EXAMPLE = "]),
    ],
)
def test_contributing_names_what_is_in_them(file: str, words: list[str]) -> None:
    assert file in NAMED
    text = (ROOT / file).read_text(encoding="utf-8")
    assert all(word in text for word in words)


def test_every_package_of_convbench_is_on_the_map() -> None:
    folders = {path.parent.relative_to(ROOT).as_posix() + "/" for path in ROOT.glob("convbench/*/__init__.py")}
    assert folders <= set(NAMED)


def test_the_notice_names_every_shipped_suite_and_no_other() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    listed = re.findall(r"\b(\w+)(?=[,:]|\n| and )", notice)
    assert set(suite_names()) <= set(listed)
    suites = [word for word in listed if re.match(r"(benchdnn|deepbench|timm|torchbench|convnet_benchmarks)_", word)]
    assert sorted(suites) == sorted(name for name in suite_names() if name in suites)
    assert {"LICENSE", "NOTICE"} == set(PROJECT["project"]["license-files"])


def test_a_citation_has_the_version_and_licence_of_the_package() -> None:
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    cited = dict(line.split(": ", 1) for line in lines if re.match(r"[a-z-]+: ", line))
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == PROJECT["project"]["version"]
    assert cited["license"] == PROJECT["project"]["license"]
    assert {"message", "title"} <= set(cited)


def test_a_hook_before_a_commit_uses_the_tools_of_the_project() -> None:
    groups = PROJECT["dependency-groups"]
    used = [word for words in re.findall(r"additional_dependencies: \[(.*)\]", HOOKS) for word in words.split(", ")]
    assert {word.strip('"') for word in used} == {*groups["lint"], *groups["docs"]}
    assert 'mdformat", "--wrap", "keep"' in (ROOT / "noxfile.py").read_text(encoding="utf-8")
    assert "entry: mdformat --wrap keep" in HOOKS
    assert re.findall(r"repo: (.*)", HOOKS) == ["local"]


def test_python_versions_are_told_from_the_oldest_on() -> None:
    told = [
        match[1]
        for one in PROJECT["project"]["classifiers"]
        if (match := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one))
    ]
    assert PROJECT["project"]["requires-python"] == f">={told[0]}"
    assert told == [f"3.{minor}" for minor in range(int(told[0][2:]), int(told[-1][2:]) + 1)]
    assert PROJECT["tool"]["mypy"]["python_version"] == told[0]
