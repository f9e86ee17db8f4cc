"""How much memory and time will a case need? Predicted from its numbers, without torch.

The memory decides what runs: a case that would not fit is skipped before it is tried. The time is
for users who decide whether to start: an upper estimate, from rates that everything here
has exceeded.
"""

from collections.abc import Iterable
from math import prod

from convbench.backend import Backend
from convbench.case import Case

# Seen on two Zen 4 cores at 2.6 GHz, float64, from a 4x4 image to 64 channels of 224x224, and rounded up.
# The oracle: for each tap a shifted view is multiplied and added, 5 to 11 ns an output, at 0.5 ns a product.
TAP_S, PRODUCT_S = 12e-9, 0.5e-9
# A verdict: bound, interval and share of every output.
VERDICT_S = 250e-9
# Profiling a call, and what every trial costs on a problem of no size at all.
TRIAL_S = 0.1

# How often a backend is called besides the rounds: plainly, poisoned (with a relu twice), profiled, and by verify on
# integers, with a NaN, and after a larger problem as well; and by bench
# to learn its threads, three blocks of one call that find how many fill a sample, cold, and after the timing.
CALLS_TO_VERIFY, CALLS_TO_BENCH = 5, 18
VERDICTS_TO_VERIFY, VERDICTS_TO_BENCH = 3, 4


def needed_nbytes(case: Case, family: str) -> int:
    """Bytes that a case takes on its device with its oracle, by a backend of this family."""
    spec = case.spec
    padded = spec.n * spec.c * prod(spec.padded)
    # Measured: 110 to 150 bytes an output for float64 y, M, bound and share, two intervals, and the answers kept.
    read = padded + sum(map(prod, case.operands.values()))
    needed = case.nbytes + 175 * prod(case.out_shape) + 24 * read
    if family == "im2col":
        # A fold sums in fp32 for every dtype, in addition to the columns; wgrad puts the patches in another order.
        copies = 1 if case.pass_ == "fprop" else 2
        needed += copies * max(spec.patch_matrix_nbytes(case.dtype), (copies - 1) * spec.patch_matrix_nbytes("fp32"))
    return needed


def exam_s(case: Case) -> float:
    """Seconds for one exam: the oracle answers for x and w, and for |x| and |w|."""
    spec = case.spec
    return 2 * (TAP_S * spec.r * spec.s * prod(spec.y_shape) + PRODUCT_S * spec.macs) / case.target.oracle_speed


def call_s(case: Case, backend: Backend) -> float:
    """Seconds per call: by the declared rate of a backend with a limit, else by its device's rate."""
    rate = case.target.macs_per_s if backend.max_macs is None else backend.macs_per_s
    return case.spec.macs / rate


def verify_s(case: Case, backends: Iterable[Backend]) -> float:
    """Seconds at most that verify takes for a case with the backends that do not refuse it."""
    trials = sum(
        TRIAL_S + CALLS_TO_VERIFY * call_s(case, one) + VERDICTS_TO_VERIFY * _verdict_s(case) for one in backends
    )
    return trials + 1.5 * exam_s(case) if trials else 0.0  # of the integers the oracle needs no magnitude


def bench_s(case: Case, backends: Iterable[Backend], *, budget_s: float, least_rounds: int) -> float:
    """Seconds at most that bench takes: the budget of each candidate against the baseline, or the least
    rounds if they are longer, and the work around the timing: two exams, and each backend's
    calls and verdicts before and after it.
    """
    running = list(backends)
    if not running:
        return 0.0
    calls_s = sum(call_s(case, one) for one in running)
    verdicts_s = len(running) * (TRIAL_S + VERDICTS_TO_BENCH * _verdict_s(case))
    total_s = budget_s * max(1, len(running) - 1)
    rounds_s = max(total_s + calls_s, least_rounds * calls_s)  # the last round begins within the budget
    return 2 * exam_s(case) + CALLS_TO_BENCH * calls_s + verdicts_s + rounds_s


def _verdict_s(case: Case) -> float:
    return VERDICT_S * prod(case.out_shape) / case.target.oracle_speed
