"""Does autograd work through a backend, and does it give the right gradients?"""

from dataclasses import replace

import torch
from torch.autograd.gradcheck import GradcheckError, gradcheck

from convbench.backend import Backend
from convbench.case import PASSES
from convbench.verify.exam import Exam

MOST_MACS = 50_000  # finite differences call the function again and again
LAST_BITS = 2**10 * 2.0**-53  # of a sum of so few products in float64, whatever its order


def gradient_fault(backend: Backend, exam: Exam) -> str:
    """What is wrong with autograd through fprop in float64; "" if it is right or not declared.

    Only a backend that says `autograd` is called with tensors that require gradients: others may write to them, or
    pass them to numpy. torch.autograd.gradcheck compares it with finite differences in a random direction.
    """
    case = exam.case
    if (case.dtype, case.pass_, case.epilogue) != ("fp64", "fprop", "none"):
        return ""
    if not backend.autograd or backend.prepare is not None:
        return ""
    if not exam.drawn or not 0 < case.spec.macs <= MOST_MACS:  # differences of huge numbers say nothing
        return ""
    x, w = (operand.detach().clone().requires_grad_() for operand in exam.operands.values())
    with torch.enable_grad():
        if not getattr(backend.bind(case, (x, w))(), "requires_grad", False):
            return "autograd does not work through it, although it declares autograd"
        # A backend may declare that equal calls differ in their last bits, perhaps only in its gradients.
        varies = backend.nondeterministic is not None and any(
            backend.nondeterministic(replace(case, pass_=pass_)) for pass_ in PASSES
        )
        tolerance = LAST_BITS * float(max(x.detach().abs().sum(), w.detach().abs().sum())) if varies else 0.0
        try:
            gradcheck(lambda x, w: backend.bind(case, (x, w))(), (x, w), fast_mode=True, nondet_tol=tolerance)
        except GradcheckError as error:
            first = str(error).strip().partition("\n")[0]
            for number, name in enumerate(("x", "w")):
                first = first.replace(f"with respect to input {number}", f"with respect to {name}")
            return f"autograd gives a wrong gradient: {first}"
    return ""
