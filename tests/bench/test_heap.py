"""Each in an interpreter of its own: what ran before decides from which of its heaps glibc serves a thread."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.program, pytest.mark.skipif(sys.platform != "linux", reason="the heap of glibc")]

PREPARE = """
import os, resource
from statistics import median
import torch
from convbench.bench.heap import heap_kept, heap_released
from convbench.machine import held_nbytes

NBYTES = 64 * 2**20  # above the largest size that glibc would come to keep of itself
PAGES = NBYTES / resource.getpagesize()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def write():
    before = faults()
    torch.empty(NBYTES, dtype=torch.uint8).fill_(1)
    return faults() - before
"""


def run(code: str) -> list[float]:
    """The numbers that the code prints."""
    done = subprocess.run([sys.executable, "-c", PREPARE + code], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def test_memory_once_written_costs_no_page_fault_again_and_goes_back_at_the_end() -> None:
    outside, inside, held, after = run("""
outside = median(write() for _ in range(10))
with heap_kept():
    inside = median(write() for _ in range(50))
    held = held_nbytes(os.getpid())
print(outside / PAGES, inside / PAGES, held / NBYTES, held_nbytes(os.getpid()) / NBYTES)
""")
    assert outside > 0.5
    assert inside < 0.01
    assert after < held - 0.5


def test_while_memory_is_kept_it_can_be_given_back_for_a_time() -> None:
    released, kept_again = run("""
with heap_kept():
    write()
    with heap_released() as possible:
        assert possible
        released = median(write() for _ in range(10))
    for _ in range(20):  # glibc places the block anew a few times before it finds the same room
        write()
    kept_again = median(write() for _ in range(10))
print(released / PAGES, kept_again / PAGES)
""")
    assert released > 0.5
    assert kept_again < 0.01


def test_a_timed_call_finds_the_memory_of_its_output() -> None:
    first, later, mapped_s, outputs_held = run("""
from convbench import ConvSpec, Timed, backend
from convbench.bench.rounds import TimeBudget
from convbench.bench.statistics import VerdictRule
from convbench.bench.sweep import bench
from convbench.case import Case, Problem

seen = []

@backend(family="vendor", source="F.conv2d", devices={"cpu"})
def counted(x, w, spec):
    before = faults()
    y = torch.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
    seen.append(faults() - before)
    return y

spec = ConvSpec.parse("n1c1h1024w1024k2r3s3_pd1")
case = Case(problem=Problem(suite="t", name="t", spec=spec))
(result,) = bench([case], [counted], budget=TimeBudget(seconds=0.0), rule=VerdictRule())
assert isinstance(result.outcome, Timed), result
print(max(seen), min(seen))
print(result.outcome.bill.mapped_s, result.outcome.bill.peak_nbytes / (2 * 2**20 * 4))
""")
    assert later < 10 < first
    assert mapped_s > 0
    assert outputs_held >= 0.9  # torch holds more than y for a while
