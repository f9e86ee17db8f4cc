"""A program that imports convbench sees its types."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import convbench

PROGRAM = """
import convbench
from convbench import Backend, ConvSpec, backend
spec = ConvSpec.parse("n1c1h4w4k1r2s2_pd1")
reveal_type(spec)
reveal_type(spec.padding)
reveal_type(convbench.__version__)
@backend(family="im2col", source="a test")
def mine(x: object, w: object, spec: ConvSpec) -> object:
    return x
reveal_type(mine)
convbench.no_such_name
ConvSpec(4)
r = convbench.bench(["torch", mine, lambda x, w, spec: x], on=[spec, "quick"], dtypes="fp32")
reveal_type(r)
reveal_type(r[0])
reveal_type(r[1:].winner())
reveal_type(convbench.explain().walk.total)
reveal_type(convbench.compare("before.csv", r).state)
convbench.verify(mine, wher=None)
"""
SEEN = (
    'program.py:5: note: Revealed type is "convbench.spec.ConvSpec"',
    'program.py:6: note: Revealed type is "tuple[int, int]"',
    'program.py:7: note: Revealed type is "str"',
    'program.py:11: note: Revealed type is "convbench.backend.Backend"',
    'program.py:12: error: Module has no attribute "no_such_name"',
    'program.py:13: error: Too many positional arguments for "ConvSpec"',
    'program.py:15: note: Revealed type is "convbench.results.Results"',
    'program.py:16: note: Revealed type is "convbench.outcome.Result"',
    'program.py:17: note: Revealed type is "frozenset[str]"',
    'program.py:18: note: Revealed type is "float"',
    'program.py:19: note: Revealed type is "str"',
    'program.py:20: error: Unexpected keyword argument "wher" for "verify"',
)


def test_the_package_says_that_it_is_typed() -> None:
    assert (files(convbench) / "py.typed").is_file()


@pytest.mark.needs("mypy")
def test_mypy_sees_our_types_in_a_program_of_a_user_and_not_any(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=cache", "program.py"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    missing = [line for line in SEEN if line not in done.stdout]
    assert not missing, done.stdout + done.stderr
