"""Does a call leave something behind that a later call reads? A larger problem is computed, then the same one again.

A workspace whose padding was only cleared when it was allocated, a table of another problem: such a kernel is right
in each process that computes one problem, and wrong in a model, which computes many.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import torch

from convbench.backend import Backend
from convbench.call.bind import ANY_FAULT, bind, conditions, synchronize
from convbench.call.tensors import TORCH_DTYPE, lay_out
from convbench.case import Case


def call_larger(backend: Backend, case: Case, *, filled: float = 1.0) -> Case | None:
    """Compute a larger problem on operands of one value; returns its case, or None if the backend computes none.

    It is not judged: a kernel that was written for one problem may know no other.
    """
    for other in _larger(case):
        with suppress(*ANY_FAULT), conditions(other):
            if backend.why_not(other) is not None:
                continue
            dtype, place = TORCH_DTYPE[other.dtype], other.target.torch_name
            operands = {
                name: lay_out(torch.full(shape, filled, dtype=dtype, device=place), other.layout)
                for name, shape in other.operands.items()
            }
            bind(backend, other, operands)[0]()
            synchronize(other.device)
            return other
    return None


def _larger(case: Case) -> Iterator[Case]:
    """The same kernel on a larger image: without padding, so that each place of a workspace is written, or with it.

    Each has more channels first. No size is smaller than in the case, so code that takes the case's sizes for granted
    stays in its operands.
    """
    spec = case.spec
    top, bottom, left, right = spec.sides
    wide = replace(spec, h=spec.h + top + bottom + spec.stride[0], w=spec.w + left + right + spec.stride[1])
    groups = spec.groups + 1
    if spec.groups > 1:
        more = replace(wide, groups=groups, c=groups * spec.c_per_group, k=groups * spec.k_per_group)
    else:
        more = replace(wide, c=spec.c + 1, k=spec.k + 1)
    bare = [replace(one, padding=(0, 0), padding_end=None) for one in (more, wide)]
    for one in dict.fromkeys((*bare, more, wide)):
        yield replace(case, problem=replace(case.problem, spec=one, operands=""))
