"""Does a call leave something behind that a later call reads? Other problems are computed, then the same one again.

A workspace whose padding was only cleared when it was allocated, a table of another problem: such a kernel is right
in each process that computes one problem, and wrong in a model, which computes many.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import torch

from convbench.backend import Backend
from convbench.call.bind import ANY_FAULT, bind, conditions, synchronize
from convbench.call.tensors import TORCH_DTYPE, lay_out
from convbench.case import Case
from convbench.spec import ConvSpec


def kind(case: Case) -> str:
    """What decides how a workspace is used: the pass, groups, and which sides are padded."""
    top, bottom, left, right = case.spec.sides
    return f"{case.pass_} {case.spec.groups > 1} {top + bottom > 0} {left + right > 0}"


def disturbances(case: Case) -> Iterator[Sequence[Case]]:
    """Problems that may leave something for this one: of each sequence the first that the backend computes.

    No size is smaller than in the case, so code that takes the case's sizes for granted stays in its operands.
    """
    yield [_with_spec(case, spec) for spec in _larger(case.spec)]
    top, bottom, left, right = case.spec.sides
    if top + bottom and left + right:  # code that keeps no workspace without padding keeps one here
        yield [_with_spec(case, _filled(case.spec, rows_alone=True))]
    if any(case.spec.sides):
        yield [_with_spec(case, _filled(case.spec))]


def call_first(backend: Backend, options: Sequence[Case], *, filled: float = 1.0) -> Case | None:
    """Compute one problem on operands of one value; returns its case, or None if the backend computes none.

    It is not judged: a kernel that was written for one problem may know no other.
    """
    for other in options:
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


def _with_spec(case: Case, spec: ConvSpec) -> Case:
    return replace(case, problem=replace(case.problem, spec=spec, operands=""))


def _filled(spec: ConvSpec, *, rows_alone: bool = False) -> ConvSpec:
    """A larger image in place of the padding, or of its rows: a workspace of the same size, written to its border."""
    top, bottom, left, right = spec.sides
    tall = replace(spec, h=spec.h + top + bottom, padding=(0, left), padding_end=(0, right))
    return tall if rows_alone else replace(tall, w=spec.w + left + right, padding=(0, 0), padding_end=None)


def _larger(spec: ConvSpec) -> Iterator[ConvSpec]:
    """The same kernel on a larger image: without padding, so that each place of a workspace is written, or with it.

    Each has more channels first.
    """
    top, bottom, left, right = spec.sides
    wide = replace(spec, h=spec.h + top + bottom + spec.stride[0], w=spec.w + left + right + spec.stride[1])
    groups = spec.groups + 1
    if spec.groups > 1:
        more = replace(wide, groups=groups, c=groups * spec.c_per_group, k=groups * spec.k_per_group)
    else:
        more = replace(wide, c=spec.c + 1, k=spec.k + 1)
    bare = [replace(one, padding=(0, 0), padding_end=None) for one in (more, wide)]
    yield from dict.fromkeys((*bare, more, wide))
