"""Is a fault of third-party code a known defect of torch? Only if torch's own answer is the same.

Declarations of a plug-in excuse nothing. But its bf16 `F.conv2d` hits the same defect as torch's own row: then
torch runs on the same operands, and equal numbers in every output are the proof.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from convbench.backends.torch import torch as baseline
from convbench.call.bind import ANY_FAULT, conditions
from convbench.case import Case
from convbench.verify.answers import Answers
from convbench.verify.probes import Probes

FORMATS = (torch.preserve_format, torch.contiguous_format, torch.channels_last)


def inherited_defect(probes: Probes, answers: Answers, probe: str) -> str | None:
    """The defect of torch that a probe hit in a third-party backend; None if it is the backend's own fault."""
    case, exam = probes.exam.case, probes.exam
    if baseline.defects is None or (words := baseline.defects(case, probe)) is None:
        return None
    if probe == "locality" and exam.finite:  # the only one that puts a NaN among finite operands
        if answers.pierced is None:
            return None
        with probes.locality.pierced():
            same = _is_torchs(case, exam.operands, answers.pierced.out)
    else:
        same = _is_torchs(case, exam.operands, answers.plain.out)
    return words if same else None


def _is_torchs(case: Case, operands: Mapping[str, Tensor], out: Tensor) -> bool:
    """Whether torch returns exactly these numbers, for the operands as they are or in one of its memory formats."""
    for layout in FORMATS:
        given = [one.contiguous(memory_format=layout) if one.dim() == 4 else one for one in operands.values()]
        try:
            with conditions(case):
                own = baseline.bind(case, given)()
        except ANY_FAULT:
            continue
        if own.shape == out.shape and bool(((own == out) | (own.isnan() & out.isnan())).all()):
            return True
    return False
