# /// script
# dependencies = ["nox[uv]>=2024.10"]
# ///
"""What is checked, and how: `nox` runs lint, types, docs, tests and programs; `nox -l` lists the rest."""

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "docs", "tests", "programs"]
nox.options.reuse_existing_virtualenvs = True

# The tests start hundreds of processes. Where this is set, each of them would compile all of torch anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

PROJECT = nox.project.load_toml("pyproject.toml")
VERSIONS = [one.rpartition(" ")[2] for one in PROJECT["project"]["classifiers"] if "Python :: 3." in one]
OLDEST, NEWEST = VERSIONS[0], VERSIONS[-1]
CODE = ("convbench", "pytest_convbench.py", "scripts", "tests", "noxfile.py")


def group(name: str) -> list[str]:
    """The requirements of a dependency group in pyproject.toml."""
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    session.install(*group("lint"))
    session.run("ruff", "check", *CODE, *session.posargs)
    session.run("ruff", "format", "--check", *CODE)


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strict, for the oldest and the newest Python."""
    session.install("-e.", "nox", *group("types"))
    for version in (OLDEST, NEWEST):  # mypy needs neither of them installed
        session.run("mypy", "--num-workers", "2", "--python-version", version, *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the test suite on two cores; `nox -s tests -- -k name` runs a part of it."""
    session.install("-e.", *group("test"))
    session.run("pytest", "-n", "2", "--dist", "worksteal", *session.posargs)


@nox.session
def programs(session: nox.Session) -> None:
    """Run what takes seconds a test: whole commands, those of the README, kills, hostile backends, many random runs."""
    session.install("-e.", *group("test"))
    session.run("pytest", "-n", "2", "--dist", "worksteal", "-m", "program or long", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Check that the Markdown is well-formed; `-- --write` formats it."""
    session.install(*group("docs"))
    pages = [str(page) for page in (*Path().glob("*.md"), *Path().glob("docs/*.md"), *Path().glob("results/*.md"))]
    check = [] if "--write" in session.posargs else ["--check"]
    session.run("mdformat", "--wrap", "keep", *check, *pages)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time the backends with pytest-benchmark; `-- --benchmark-autosave` keeps the numbers."""
    session.install("-e.", *group("test"))
    session.run(
        "pytest", "tests/benchmark_backends.py", "--benchmark-only", "--benchmark-group-by=group", *session.posargs
    )


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Run the tests that need a CUDA device, and a short sweep on it."""
    session.install("-e.", *group("test"))
    session.run("pytest", "-m", "gpu", *session.posargs)
    session.run("convbench", "bench", "--device", "cuda", "--budget", "1")


@nox.session(default=False)
def standin(session: nox.Session) -> None:
    """Play scripts/gpu_round.sh from start to end on a stand-in for a GPU: some minutes."""
    session.install("-e.", *group("test"))
    session.run("pytest", "-m", "standin and program", *session.posargs)


@nox.session(default=False)
def rivals(session: nox.Session) -> None:
    """Install the rival libraries, and run the conformance suite and the race of whole models over them."""
    session.install("-e.[rivals,optimize]", *group("test"))
    marks = "compiles or long or program or not program"
    session.run("pytest", "tests/backends", "tests/optimize", "-m", marks, *session.posargs)


@nox.session(default=False)
def fleet(session: nox.Session) -> None:
    """Submit sweeps to a SLURM and a Ray of two virtual nodes and break them again and again; needs root."""
    session.install("-e.[ray]", *group("test"))
    session.run("pytest", "-m", "slurm or ray", "tests/fleet", "-s", *session.posargs)


@nox.session(default=False)
def counters(session: nox.Session) -> None:
    """Install timm and the other tools that count operations, and compare with them."""
    session.install("-e.[counters,models]", *group("test"))
    session.run("pytest", "tests/explain/test_ledger.py", "tests/models/test_models.py", *session.posargs)


@nox.session(default=False)
def notebook(session: nox.Session) -> None:
    """Run the walk as notebooks, and the lines of docs/python.md, with nbconvert."""
    session.install("-e.", *group("notebook"))
    session.run("pytest", "-m", "notebook", *session.posargs)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Open the pages in the system's Chromium: sort, filter, keys, dark and light, print."""
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        session.error("no chromium on PATH: install one, as `apt install chromium`")
    session.install("-e.", *group("browser"))
    session.run("pytest", "-n", "2", "--dist", "loadfile", "-m", "browser and not timed", *session.posargs)
    session.run("pytest", "-m", "browser and timed", "tests/show/test_explain_stage.py", *session.posargs)


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """Kill a sweep of misbehaving backends again and again; `-- --kills 5` says how often."""
    session.install("-e.", *group("test"))
    session.run("python", "-m", "tests.chaos", *session.posargs)


@nox.session(default=False)
@nox.parametrize("others", ["oldest", "newest"])
def minimums(session: nox.Session, others: str) -> None:
    """Run all tests with the oldest torch and torchvision, beside the oldest and the newest of the rest (needs uv)."""
    oldest = [one.replace(">=", "==") + ".*" for one in PROJECT["project"]["dependencies"] if one.startswith("torch")]
    session.install(*(["--resolution=lowest-direct"] if others == "oldest" else oldest), "-e.", *group("test"))
    session.run("pytest", "-m", "long or program or not program", *session.posargs)
