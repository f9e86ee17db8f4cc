import os
import resource
import subprocess
import sys
from typing import Any

import pytest
import torch

from convbench import backend
from convbench.bench.heap import heap_kept
from convbench.bench.rounds import Budget
from convbench.bench.statistics import Rule
from convbench.bench.sweep import bench
from convbench.case import Case, Problem
from convbench.machine import held_nbytes
from convbench.outcome import Timed
from convbench.spec import ConvSpec

glibc = pytest.mark.skipif(sys.platform != "linux", reason="the heap of glibc")
NBYTES = 64 * 2**20  # above the largest size that glibc would come to keep of itself


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def write() -> int:
    """The page faults of writing to fresh memory."""
    before = faults()
    torch.empty(NBYTES, dtype=torch.uint8).fill_(1)
    return faults() - before


FRESH = """
from statistics import median
from tests.bench.test_heap import heap_kept, write
outside = median(write() for _ in range(10))
with heap_kept():
    print(outside, median(write() for _ in range(50)))
"""


@glibc
def test_memory_once_written_costs_no_page_fault_again() -> None:
    # a fresh interpreter has a heap with no holes
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    outside, inside = map(float, done.stdout.split())
    pages = NBYTES / resource.getpagesize()
    assert outside > pages / 2
    assert inside < pages / 100


@glibc
def test_what_it_kept_goes_back_at_the_end() -> None:
    with heap_kept():
        write()
        held = held_nbytes(os.getpid())
    assert held_nbytes(os.getpid()) < held - NBYTES // 2


@glibc
def test_a_timed_call_finds_the_memory_of_its_output() -> None:
    seen: list[int] = []

    @backend(family="vendor", source="F.conv2d", devices={"cpu"})
    def counted(x: Any, w: Any, spec: ConvSpec) -> Any:
        before = faults()
        y = torch.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
        seen.append(faults() - before)
        return y

    spec = ConvSpec.parse("n1c1h1024w1024k2r3s3_pd1")  # 8 MiB of y
    case = Case(problem=Problem(suite="t", name="t", spec=spec))
    (result,) = bench([case], [counted], budget=Budget(seconds=0.0), rule=Rule())
    assert isinstance(result.outcome, Timed)
    assert min(seen) < 10 < max(seen)
