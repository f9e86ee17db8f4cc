"""Does the default command find the bugs that people make, name their causes truly, and accuse nobody who is right?

Every kernel of `right` and every bug of `mutants` is tried as `convbench verify` tries a plug-in: on the cases of its
suite, with the passes and epilogues that it brings. No shape is chosen for a bug, and none that it does not show on
is left out: a bug that no case of the suite meets is a bug that was missed.
"""

import multiprocessing
import re
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import torch

from convbench.backend import Backend
from convbench.case import Case
from convbench.outcome import Check, Failed, Skipped, Wrong
from convbench.verify.answers import question
from convbench.verify.diagnose.fault import Effort, explain_fault
from convbench.verify.exam import prepare_exam
from convbench.verify.probes import Probes
from convbench.verify.selftest.kernels import Kernel, as_backend
from convbench.verify.selftest.mutants import BUGS
from convbench.verify.selftest.right import RIGHT
from convbench.verify.trial import weigh

CATALOGUE = (*RIGHT, *BUGS)
KINDS = ("correct", "structure", "precision", "behaviour", "place", "gradient", "epilogue")

# What is published, and held by the exit code.
LEAST_FOUND, LEAST_NAMED = 0.97, 0.8
LEAST_RIGHT_RUNS = 3_000  # none of them speaks for fewer than one in 1,000 with 95 % confidence (the rule of three)

# Words for what was seen, which is no cause: what wrong outputs hold, where they are, on which operands they come.
SEEN = re.compile(r"\b(is|are) (0|NaN)$|\b(is|are) wrong\b|^it is right with a contiguous")

# As many faults as the command prints are explained of each bug, each on another problem, and then it is left alone.
MOST_EXPLAINED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One wrong answer with what was said of it.

    Attributes:
        named: what the cause is worth: "true", "false", or "none" where none was named; "" of a right kernel.
    """

    case: Case
    probe: str
    evidence: str
    cause: str
    named: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One kernel on the suite.

    Attributes:
        kernel, kind: its name and kind.
        runs: the cases that it did, of which it was `wrong` or `failed`.
        faults: the wrong answers that were explained; of a right kernel every run that was not verified.
    """

    kernel: str
    kind: str
    runs: int = 0
    wrong: int = 0
    failed: int = 0
    faults: tuple[Fault, ...] = ()

    @property
    def is_bug(self) -> bool:
        return self.kind != "correct"

    @property
    def found(self) -> bool:
        return self.wrong > 0

    @property
    def missed(self) -> bool:
        """Whether it is a bug that no case of the suite showed."""
        return self.is_bug and not self.found

    @property
    def alarms(self) -> int:
        """Of a right kernel the runs that were wrong or failed."""
        return 0 if self.is_bug else self.wrong + self.failed

    @property
    def named(self) -> Counter[str]:
        """How many of its faults were named how."""
        return Counter(fault.named for fault in self.faults)


Plan = Sequence[tuple[Case, Sequence[Kernel]]]


def try_kernels(plan: Plan) -> Iterator[list[Tried]]:
    """After each case of the plan, tried with the kernels that it is for: what came of every kernel so far.

    A bug is left alone as soon as enough of its faults are explained.
    """
    kernels = {kernel.name: kernel for _, group in plan for kernel in group}
    backends = {name: as_backend(kernel) for name, kernel in kernels.items()}  # each remembers what it did before
    tried = {name: Tried(kernel=name, kind=kernel.kind) for name, kernel in kernels.items()}
    for case, group in plan:
        left = [one for one in group if not (tried[one.name].is_bug and len(tried[one.name].faults) >= MOST_EXPLAINED)]
        if left:
            probes = Probes(prepare_exam(case))
            for kernel in left:
                tried[kernel.name] = _try_once(kernel, backends[kernel.name], tried[kernel.name], probes)
        yield list(tried.values())


def try_with(processes: int, plan: Plan) -> Iterator[list[Tried]]:
    """`try_kernels` by some processes side by side, each with some of the kernels.

    Raises:
        RuntimeError: one of them died.
    """
    context = multiprocessing.get_context("spawn")
    names = list(dict.fromkeys(kernel.name for _, group in plan for kernel in group))
    workers, readers = [], []
    for first in range(processes):
        own = set(names[first::processes])
        part = [(case, [one.name for one in group if one.name in own]) for case, group in plan]
        reader, writer = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(writer, part), daemon=True)
        worker.start()
        writer.close()  # the worker's alone: its death is the end of the pipe, and ours is its
        workers.append(worker)
        readers.append(reader)
    tried: list[list[Tried]] = [[] for _ in readers]
    for case, _ in plan:
        for place, reader in enumerate(readers):
            try:
                tried[place] = reader.recv()
            except EOFError:
                workers[place].join()
                code = workers[place].exitcode
                raise RuntimeError(f"a process of the self-test ended with {code} on {case.flags()}") from None
        yield [one for part in tried for one in part]
    for worker in workers:
        worker.join()


def _work(writer: Connection, part: Sequence[tuple[Case, Sequence[str]]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is told by the parent
    torch.set_num_threads(1)  # the other core has a process of its own
    known = {kernel.name: kernel for kernel in CATALOGUE}
    for tried in try_kernels([(case, [known[name] for name in names]) for case, names in part]):
        writer.send(tried)


def _try_once(kernel: Kernel, backend: Backend, so_far: Tried, probes: Probes) -> Tried:
    exam = probes.exam
    if backend.why_not(exam.case) is not None:
        return so_far
    answers = question(backend, probes)
    outcome = answers if isinstance(answers, Failed | Skipped) else weigh(backend, probes, answers)
    one = replace(so_far, runs=so_far.runs + 1)
    match outcome:
        case Failed(message) | Skipped(message):  # no proof of a bug, and no pass
            fault = Fault(case=exam.case, probe="", evidence=f"failed: {message}", cause="", named="")
            return replace(one, failed=one.failed + 1, faults=one.faults if one.is_bug else (*one.faults, fault))
        case Wrong(check):
            one = replace(one, wrong=one.wrong + 1)
            if one.is_bug and any(fault.case.spec == exam.case.spec for fault in one.faults):
                return one  # of more of the same nothing new is expected
            found = explain_fault(backend, exam, check, Effort(tries=0)) if one.is_bug else check
            return replace(one, faults=(*one.faults, _fault(kernel, exam.case, found)))
    return one


def _fault(kernel: Kernel, case: Case, check: Check) -> Fault:
    named = judge_cause(kernel, check.cause) if kernel.kind != "correct" else ""
    return Fault(case=case, probe=check.probe, evidence=check.evidence or "", cause=check.cause, named=named)


def judge_cause(kernel: Kernel, cause: str) -> str:
    """What a cause is worth, by what the bug says of itself: "true", "false", or "none" where none was named.

    What is only seen, as "all outputs are 0", is right of every bug, and names none that does not do just that.
    """
    words = re.sub(r" \((seen on [^)]*|the same on this case)\)", "", cause)
    if words and any(re.search(pattern, words) for pattern in kernel.causes):
        return "true"
    return "none" if not words or SEEN.search(words) else "false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the tries of some kernels come to.

    Attributes:
        kinds: the bugs, of which so many were `found`.
        true, none, false: the causes of the faults that were explained: true ones, none, false ones.
        runs: of right kernels, of which so many were false `alarms`.
    """

    kinds: int
    found: int
    true: int
    none: int
    false: int
    runs: int
    alarms: int

    @classmethod
    def of(cls, tried: Iterable[Tried]) -> "Tally":
        tried = list(tried)
        bugs = [one for one in tried if one.is_bug]
        named = sum((one.named for one in bugs), Counter[str]())
        right = [one for one in tried if not one.is_bug]
        return cls(
            kinds=len(bugs),
            found=sum(one.found for one in bugs),
            true=named["true"],
            none=named["none"],
            false=named["false"],
            runs=sum(one.runs for one in right),
            alarms=sum(one.alarms for one in right),
        )

    @property
    def explained(self) -> int:
        """The faults that a cause was looked for."""
        return self.true + self.none + self.false

    @property
    def enough(self) -> bool:
        """Whether there were as many right runs as the published rates speak of."""
        return self.runs >= LEAST_RIGHT_RUNS

    def met(self, *, by_choice: bool) -> bool:
        """Whether it does as well as published; where somebody chose kernels or cases, on however few runs."""
        found, named = self.found >= LEAST_FOUND * self.kinds, self.true >= LEAST_NAMED * self.explained
        return found and named and not self.false and not self.alarms and (self.enough or by_choice)

    @property
    def nothing(self) -> bool:
        """Whether nothing was tried."""
        return not self.kinds and not self.runs
