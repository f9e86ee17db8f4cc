"""The backends under pytest-benchmark, for whoever compares releases with its tools: `nox -s bench`."""

from typing import Any

import pytest

from convbench import Backend, Case, discover
from convbench.call.bind import bind, conditions
from convbench.suites import load_suite
from convbench.verify.exam import prepare_exam
from convbench.verify.trial import judge

PAIRS = [
    pytest.param(backend, case, id=f"{case.problem.name}-{backend.name}")
    for case in (Case(problem=problem) for problem in load_suite("quick"))
    for backend in discover()[0]
    if backend.why_not(case) is None
]


@pytest.mark.parametrize(("backend", "case"), PAIRS)
def test_time(benchmark: Any, backend: Backend, case: Case) -> None:
    exam = prepare_exam(case)
    benchmark.group = case.problem.name
    with conditions(case):
        call, _ = bind(backend, exam.case, exam.operands)
        out = benchmark(call)
    assert judge(out, exam, backend).passed
