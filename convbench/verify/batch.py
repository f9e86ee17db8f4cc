"""Is the result of an image alone the same as in its batch?

A kernel need not guarantee that: another size may take another path, with another order of summation. Both answers
must be right. A difference is reported, because it matters to users who serve requests alone or in batches.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from convbench.backend import Backend
from convbench.call.tensors import lay_out
from convbench.case import Case
from convbench.outcome import Check
from convbench.verify.exam import Exam
from convbench.verify.transforms import Points
from convbench.verify.verdict import check

DIFFERS = "alone differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """One image of a batch as a problem of its own.

    Attributes:
        image: its number in the batch.
    """

    image: int
    case: Case
    operands: dict[str, Tensor]


def one_image(backend: Backend, exam: Exam) -> Alone | None:
    """An image chosen by the seed; None if it is the only one, or the backend cannot run it alone.

    A wgrad sums over the images. A backend with a slow start would compile once more.
    """
    case = exam.case
    if case.spec.n < 2 or case.pass_ == "wgrad" or backend.slow_start or ":" in case.problem.operands:
        return None
    image = (case.spec.n - 1 + case.seed) % case.spec.n  # the last one of seed 0: where a block of images has a rest
    problem = replace(case.problem, spec=replace(case.spec, n=1))
    single = replace(case, problem=problem)
    if backend.why_not(single) is not None:
        return None
    first, *others = exam.operands
    operands = {first: lay_out(exam.operands[first][image : image + 1].clone(), case.layout)}
    return Alone(image=image, case=single, operands=operands | {name: exam.operands[name] for name in others})


def check_alone(
    exam: Exam, image: int, alone: Tensor, plain: Tensor, family: str, roundings: int = 0, points: Points = ()
) -> Check:
    """Judge an image that was computed alone; `plain` is the output of the whole batch, which was right."""
    if tuple(alone.shape) != (1, *plain.shape[1:]) or alone.dtype != plain.dtype or alone.device != plain.device:
        found = Check(worst_of_bound=float("inf"), relative_l2=float("inf"))
        return found.fails(
            "batch", f"image {image} alone: returned {alone.dtype} {tuple(alone.shape)}, expected {plain.dtype} "
            f"{(1, *plain.shape[1:])}",
        )  # fmt: skip
    whole = plain.clone()
    whole[image] = alone[0]
    found = check(exam, whole, family, roundings, points)
    if not found.passed:
        return found.fails("batch", f"right in its batch, wrong with image {image} alone: {found.evidence}")
    apart = (alone[0].double() - plain[image].double()).abs().nan_to_num(nan=0.0).max()
    return replace(found, arithmetic=f"image {image} {DIFFERS} by up to {float(apart):.2g}" if apart else "")
