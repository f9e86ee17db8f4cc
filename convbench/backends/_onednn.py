"""What is known of oneDNN's bf16 by those who call it: docs/found-defects.md."""

from convbench.case import Case


def defects(case: Case, probe: str) -> str | None:
    """What goes wrong in its convolutions, in words, where a probe met it."""
    if probe == "locality" and case.target.on_host and case.dtype == "bf16":
        return "oneDNN spreads a NaN in bf16 inputs to outputs that do not read it (docs/found-defects.md)"
    return subnormals(case, probe)


def subnormals(case: Case, _probe: str) -> str | None:
    """What goes wrong in its matrix products, which torch uses for bf16 on a CPU."""
    if case.problem.operands == "subnormal_second" and case.target.on_host and case.dtype == "bf16":
        return "oneDNN treats subnormal bf16 numbers as zero (docs/found-defects.md)"
    return None
