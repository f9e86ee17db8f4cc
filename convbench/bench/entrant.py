"""One backend in the race: its timed blocks, and the proof that they did the work.

Whether the last output is judged, and which of its numbers, is drawn after the clock has stopped, so no call can
know. They are copied at once, before a thread that still works gets further, and judged before the operands
change. Only then is their truth computed, and dropped with the verdict.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor

from convbench.backend import Backend
from convbench.bench.ring import Ring
from convbench.call.bind import ANY_FAULT, bound, synchronize
from convbench.call.outputs import changed, plain, taken
from convbench.case import Case
from convbench.outcome import Check
from convbench.verify.cost import exam_s
from convbench.verify.exam import Exam, all_finite, make_exam, wrong
from convbench.verify.sample import OutputSample, draw_places, draw_readers, sample_size
from convbench.verify.trial import Trial
from convbench.verify.verdict import check

WHOLE_S = 5e-4  # a case whose exam takes no longer is judged as a whole
SURE = 5  # judged blocks, and as many on sets that were used before, are chosen by coin toss; then the cost decides
SHARE = 0.1  # of the time in timed blocks, for judging some of them
REPLAY_S = 0.05  # a graph takes no longer; a longer call is not captured
LATEST = 3  # the block that is always judged, if none before it was


class Caught(Exception):  # noqa: N818  # it says what happened
    """A timed call did not do its work."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.evidence)
        self.check = check


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """The copy of an output, taken right after the clock stopped.

    Attributes:
        out: what was returned, itself.
        own: the copy: of the outputs at `places` (S, 4), or of all where that is None.
        number: of the set that the call was given.
    """

    out: Any
    own: Any
    places: Tensor | None
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedBlock:
    """Some timed calls: seconds of all together and of each, and a shot of one output where one was taken."""

    seconds: float
    each_s: float
    shot: Shot | None


@dataclass(slots=True, kw_only=True)
class Entrant:
    """A backend with its calls on each set of a ring.

    Attributes:
        tell: called before an output is judged, to undo settings that a call has changed.
        evict: empties the caches before each block; None for warm caches.
        rng: draws what is judged; independent of the case's seed, which a backend knows.
    """

    backend: Backend
    case: Case
    trial: Trial
    ring: Ring
    tell: Callable[[], None] = lambda: None
    evict: Callable[[], Any] | None = None
    rng: Random = field(default_factory=Random)
    calls: Sequence[Callable[[], Any]] = field(init=False)
    judged: int = field(default=0, init=False)
    _blocks: int = field(default=0, init=False)
    _again: int = field(default=0, init=False)
    _used: set[int] = field(default_factory=set, init=False)
    _judging_s: float = field(default=0.0, init=False)
    _whole: bool = field(init=False)
    _replay: Callable[[], list[Any]] | None = field(default=None, init=False)
    _replayed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        _, *others = self.trial.given
        later = [bound(self.backend, self.case, [one.first, *others]) for one in self.ring.sets[1:]]
        self.calls = [self.trial.call, *later]
        finite = all(map(all_finite, self.ring.truth_of(0).values()))
        self._whole = exam_s(self.case) <= WHOLE_S or not finite

    def settle(self) -> None:
        """One untimed call: others have run since, and this brings threads, code and the weight back."""
        (number,) = self.ring.take(1)
        self._used.add(number)
        self.calls[number]()

    @property
    def timing(self) -> str:
        """How its blocks are timed, among outcome.TIMINGS."""
        return "eager" if self._replay is None else "graph"

    def capture(self, call_s: float) -> bool:
        """Have its blocks replayed from a graph, a call for each set, as long as that takes no longer than REPLAY_S.

        Returns:
            False if they cannot be captured, which may leave the process damaged.
        """
        count = min(len(self.ring), int(REPLAY_S / call_s))
        if count > 0:
            try:
                self._replay = self.case.target.capture(self.calls[:count], kept=count)
            except ANY_FAULT:  # a call that synchronises, or allocates on the host, may say so in any way
                return False
            self._replayed = count
        return True

    def let_go(self) -> None:
        """Drop the graph: its blocks are eager, like those of the others."""
        self._replay = None

    def block(self, count: int) -> TimedBlock:
        """The seconds of about `count` calls, none of which sees a set unchanged.

        The clock stops while the sets are written. Calls that are to find their set in no cache are no more than
        there are sets, and a graph has as many as it has.
        """
        target, seconds, done, number, out, again = self.case.target, 0.0, 0, 0, None, False
        if self._replay is not None:
            done = self._replayed
            self.ring.renew(range(done))
            seconds, outs = target.time_calls([self._replay], first=self.evict)
            number = self.rng.randrange(done)  # they are all there, and any may be judged
            again = number in self._used
            self._used.update(range(done))
            out = outs[number]
            del outs
        while done < count and self._replay is None:
            out = None
            numbers = self.ring.take(min(count - done, len(self.ring)))
            number = numbers[-1]
            again = number in self._used
            self._used.update(numbers)
            spent_s, out = target.time_calls([self.calls[one] for one in numbers], first=self.evict)
            seconds, done = seconds + spent_s, done + len(numbers)
            if not target.on_host:
                break
        shot = self._shoot(out, number) if self._due(seconds, again) else None
        return TimedBlock(seconds=seconds, each_s=seconds / done, shot=shot)

    def cold(self, evict: Callable[[], Any]) -> float:
        """The seconds of one eager call after the caches were emptied; half of them are judged.

        Raises:
            Caught: it did not do its work.
        """
        (number,) = self.ring.take(1)
        seconds, out = self.case.target.time_calls([self.calls[number]], first=evict)
        if self.rng.random() < 1 / 2:
            self.judge(self._shoot(out, number), "while it was timed (cold)")
        return seconds

    def judge(self, shot: Shot, when: str) -> None:
        """Whether the call did its work; what was copied is compared with its own truth.

        Raises:
            Caught: it did not.
        """
        begin = time.perf_counter()
        self.tell()
        try:
            self._judge(shot, when)
        finally:
            self.judged += 1
            self._judging_s += time.perf_counter() - begin

    def _judge(self, shot: Shot, when: str) -> None:
        found = self._verdict(shot)
        if not found.passed and self.ring.mend(shot.number):
            # An earlier call may have done that, to other sets too. Once more, on the intended numbers.
            (number,) = self.ring.take(1)
            self.ring.mend(number)
            _, out = self.case.target.time_calls([self.calls[number]])
            shot = self._shoot(out, number)
            found = self._verdict(shot)
            if harmed := self.ring.mend(number):
                raise Caught(wrong(f"correct before timing; {when} it changed its input {' and '.join(harmed)}"))
        if found.passed and self._later(shot):
            found = wrong("its output changed after it was returned", "memory")
        if not found.passed and not self._known(found):
            raise Caught(found.fails(found.probe, f"correct before timing; {when}: {found.evidence}"))

    def _due(self, seconds: float, again: bool) -> bool:
        """Whether the block that has just ended is judged; `again` if its last set was used before.

        Only there can an answer that was kept for each set be returned: the coin is tossed there until SURE are judged.
        """
        self._blocks += 1
        if self.judged < SURE or (again and self._again < SURE):
            due = self.rng.random() < 1 / 2 or (self.judged == 0 and self._blocks >= LATEST)
            self._again += due and again
            return due
        return self.rng.random() * self._judging_s / self.judged < SHARE * seconds

    def _shoot(self, out: Any, number: int) -> Shot:
        case, places = self.case, None
        under = plain(out)
        if self._whole or under is None or tuple(under.shape) != case.out_shape or under.numel() == 0:
            return Shot(out=out, own=taken(out), places=None, number=number)
        size = sample_size(case)
        places = draw_places(case, size - size // 2, self.rng).to(under.device)
        own = under[tuple(places.unbind(dim=1))].clone()  # these first: unfinished work has no time to reach them
        new = draw_readers(case, self.ring.written(number, size // 2), self.rng).to(under.device)
        own = torch.cat([own, under[tuple(new.unbind(dim=1))]])
        synchronize(case.device)
        return Shot(out=out, own=own, places=torch.cat([places, new]), number=number)

    def _verdict(self, shot: Shot) -> Check:
        operands, drawn = self.ring.truth_of(shot.number), self.ring.drawn
        exam: Exam = make_exam(self.case, *operands.values(), drawn=drawn)
        if shot.places is not None:
            if (misfit := exam.misfit(plain(shot.out))) is not None:
                return misfit
            exam = OutputSample(case=self.case, operands=exam.operands, drawn=drawn, places=shot.places)
        return check(exam, shot.own, self.backend.family, self.backend.count_roundings(self.case))

    def _later(self, shot: Shot) -> bool:
        """Whether the output has changed since it was copied."""
        if shot.places is None:
            return changed(shot.out, shot.own)
        under = plain(shot.out)
        return under is not None and changed(under[tuple(shot.places.unbind(dim=1))], shot.own)

    def _known(self, found: Check) -> bool:
        """Whether it is a defect of the library under one of our own backends, which its verdict tells already."""
        known = self.backend.defects if self.backend.built_in else None
        return known is not None and known(self.case, found.probe) is not None
