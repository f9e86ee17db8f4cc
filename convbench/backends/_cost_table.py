"""Which backend is probably the fastest for a case, without measuring it?"""

from collections.abc import Sequence

from convbench.case import Case

HOPELESS = 3.0  # so many times the predicted time of the best is not worth a race


def ranked(case: Case) -> tuple[str, ...]:
    return ("winograd", "depthwise", "grouped", "gemm-1x1", "direct")


def hopeless(case: Case, names: Sequence[str]) -> dict[str, str]:
    """Those of these backends that are not worth a race, with the reason."""
    return {}
