"""A program that imports convbench sees its types.

mypy checks this file as it checks the others (nox -s types). There assert_type holds no Any, and a mark that ignores
an error is an error itself where there is none.
"""

from importlib.resources import files
from typing import assert_type

import convbench
from convbench import Backend, ConvSpec, Result, backend
from convbench.results import Results


def test_the_package_says_that_it_is_typed() -> None:
    assert (files(convbench) / "py.typed").is_file()


def program() -> None:
    spec = ConvSpec.parse("n1c1h4w4k1r2s2_pd1")
    assert_type(spec, ConvSpec)
    assert_type(spec.padding, tuple[int, int])
    assert_type(convbench.__version__, str)

    @backend(family="im2col", source="a test")
    def mine(x: object, w: object, spec: ConvSpec) -> object:
        return x

    assert_type(mine, Backend)
    found = convbench.bench(["torch", mine, lambda x, w, spec: x], on=[spec, "quick"], dtypes="fp32")
    assert_type(found, Results)
    assert_type(found[0], Result)
    assert_type(found[1:].winner(), frozenset[str])
    assert_type(convbench.explain().walk.total, float)
    assert_type(convbench.compare("before.csv", found).state, str)


def mistakes() -> None:
    str(convbench.no_such_name)  # type: ignore[attr-defined]
    ConvSpec(4)  # type: ignore[call-arg]
    convbench.verify("torch", wher=None)  # type: ignore[call-arg]
