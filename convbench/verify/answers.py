"""What does a backend answer, before it is judged: plainly, on poisoned memory, on the further probes?"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any, Self

from torch import Tensor

from convbench.backend import Backend, Unsupported
from convbench.call.bind import ANY_FAULT, bind, bound, conditions, failure, prepare, synchronize
from convbench.call.memory import Guard, poisoned, same_bits
from convbench.call.outputs import changed, taken
from convbench.call.profile import profile
from convbench.call.watch import BackendStage
from convbench.errors import one_line
from convbench.outcome import Bill, Failed, Skipped
from convbench.verify.batch import one_image
from convbench.verify.gradient import gradient_fault
from convbench.verify.probes import Probes
from convbench.verify.state import call_first, disturbances


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call returned, and how it behaved.

    Attributes:
        out: a private copy: a backend may keep its buffer and write to it in the next call.
        harmed: the inputs that it changed.
        shifted: whether its output changed after it was returned.
        strayed: whether it wrote beyond its own memory.
    """

    out: Any
    harmed: tuple[str, ...] = ()
    shifted: bool = False
    strayed: bool = False

    @classmethod
    def of(cls, out: Any, guard: Guard) -> Self:
        """Copy what was returned, and restore changed inputs."""
        own = taken(out)  # before anything else looks at it
        return cls(own, tuple(guard.restore()), changed(out, own))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers of a backend, before they are judged.

    Attributes:
        given: the arguments of the call, with the weight prepared.
        poisoned: what the unwritten memory held, in words, with the answer.
        again: of further plain calls; empty if the poisoned ones gave the same bits as the first.
        single: one image of the batch computed alone, by its number; None if there is no other.
        later: of a plain call after others on other problems, with the text of those; None if it computes none.
        gradient: what is wrong with autograd through it, or "".
        not_run: that the promised operator did not run, or "".
        varies: whether it declares that two equal calls may differ in their last bits.
        overwritten: whether a later call, on other numbers, wrote into the output of the first one.
    """

    call: Callable[[], Any]
    given: Sequence[Any]
    bill: Bill
    plain: Answer
    poisoned: Mapping[str, Answer]
    again: tuple[Answer, ...] = ()
    lattice: Answer | None = None
    pierced: Answer | None = None
    single: tuple[int, Answer | Failed] | None = None
    later: tuple[str, Answer] | None = None
    gradient: str = ""
    not_run: str = ""
    varies: bool = False
    overwritten: bool = False


def question(
    backend: Backend,
    probes: Probes,
    *,
    profiled: bool | None = None,
    whole: bool = True,
    disturbed: bool = True,
    tell: Callable[[str, BackendStage], None] = lambda _backend, _stage: None,
) -> Answers | Failed | Skipped:
    """Collect a backend's answers without judging them; the operands are restored.

    Args:
        profiled: whether the second plain call is profiled; by default where an operator is promised.
        whole: whether it is asked for integers, and with a NaN among its inputs, as well.
        disturbed: whether a whole question has a call on a larger problem, and the same one again.
        tell: as `Watch.tell`: a fall during that call is none of this case.
    """
    case, exam = probes.exam.case, probes.exam
    profiled = case.pass_ in backend.must_run if profiled is None else profiled
    guards: list[Guard] = []
    doing = ""

    def take(call: Callable[[], Any], guard: Guard) -> Answer:
        out = call()
        synchronize(case.device)
        return Answer.of(out, guard)

    def guarded(operands: dict[str, Tensor]) -> Guard:
        guards.append(Guard(**operands))  # copies, for which there may be no memory
        return guards[-1]

    try:
        guard = guarded(exam.operands)
        with conditions(case):
            given, prepare_s = prepare(backend, case, exam.operands)
            call = bound(backend, case, given)
            start = time.perf_counter()
            out = call()
            synchronize(case.device)
            bill = Bill(prepare_s=prepare_s, first_call_s=time.perf_counter() - start)
            plain, poisoned_answers, not_run_words = Answer.of(out, guard), {}, ""
            # A relu that takes the larger of 0 and NaN for 0 hides NaN, but not infinity.
            for poison, words in ((nan, "NaN"), (inf, "infinity")) if case.relu else ((nan, "NaN"),):
                doing = f" on memory that holds {words}"
                with poisoned(case.out_shape, exam.first, poison) as zones:
                    answer = take(call, guard)
                poisoned_answers[words] = replace(answer, strayed=not all(zone.whole for zone in zones))
                del zones
            doing, again = "", []
            if profiled:
                seen = profile(call, case.device)
                again = [Answer.of(seen.out, guard)]
                promised = backend.promised(case)
                if promised is not None and promised not in seen.operators:
                    not_run_words = (
                        f"RuntimeError: {promised} did not run; seen: {', '.join(seen.operators) or 'no operator'}"
                    )
                bill = replace(bill, peak_nbytes=seen.peak_nbytes, ran=seen.ran)
            elif not all(alike(answer.out, plain.out) for answer in poisoned_answers.values()):
                # Two calls differ, or it runs other code under the poison, as torch.compile's does.
                again = [take(call, guard) for _ in range(2)]
            # Called now: code that runs after the truth is computed could look for it.
            varies = bool(again) and backend.nondeterministic is not None and bool(backend.nondeterministic(case))
            lattice, pierced, later, gradient, overwritten = None, None, None, "", False
            single: tuple[int, Answer | Failed] | None = None
            if whole:
                doing = " on whole numbers"
                sibling = probes.lattice_for(backend.family).exam
                lattice = take(bind(backend, sibling.case, sibling.operands)[0], guarded(sibling.operands))
                overwritten = not plain.shifted and changed(out, plain.out)
            if whole and probes.locality.place is not None:
                doing = f" with a NaN in {next(iter(case.operands))}"
                with probes.locality.pierced():
                    out = call()
                    synchronize(case.device)
                pierced = Answer.of(out, guard)
            if whole and (alone := one_image(backend, exam)) is not None:
                try:
                    single = alone.image, take(bind(backend, alone.case, alone.operands)[0], guarded(alone.operands))
                except Unsupported:
                    pass  # of another size, which it need not do
                except Exception as error:
                    single = alone.image, failure(error)  # its earlier answers are still judged
            if whole and disturbed and not backend.slow_start:
                tell(backend.name, BackendStage.DISTURBED)
                called = [call_first(backend, options) for options in disturbances(case)]
                tell(backend.name, BackendStage.VERIFIED)
                if others := " and ".join(str(one.spec) for one in called if one is not None):
                    doing = f" after a call of {others}"
                    later = others, take(call, guard)
            if whole:
                doing = " under autograd"
                gradient = gradient_fault(backend, exam)
    except ANY_FAULT as error:
        with suppress(*ANY_FAULT):  # a lost device restores nothing
            for guard in guards:
                guard.restore()
        if isinstance(error, Unsupported):
            return Skipped(one_line(str(error)))
        return Failed(failure(error).message + (f" ({doing.strip()})" if doing else ""))
    return Answers(
        call=call,
        given=given,
        bill=bill,
        plain=plain,
        poisoned=poisoned_answers,
        again=tuple(again),
        lattice=lattice,
        pierced=pierced,
        single=single,
        later=later,
        gradient=gradient,
        not_run=not_run_words,
        varies=varies,
        overwritten=overwritten,
    )


def alike(out: Any, plain: Any) -> bool:
    """Whether two answers are the same bits in tensors of one shape and dtype."""
    return (
        isinstance(out, Tensor)
        and isinstance(plain, Tensor)
        and (out.shape, out.dtype, out.device) == (plain.shape, plain.dtype, plain.device)
        and same_bits(out, plain)
    )
