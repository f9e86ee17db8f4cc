"""Which cases does verify take that stand in no suite: random ones, and the vectors of others?"""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING

import typer

from convbench.case import DTYPES, LAYOUTS, PASSES, Case
from convbench.cli import options
from convbench.cli.outputs import tell
from convbench.cli.sweep import MOST_CASES, Selection
from convbench.errors import ConvbenchError
from convbench.exit_codes import NOTHING, WRONG
from convbench.outcome import Result

if TYPE_CHECKING:
    from convbench.backend import Backend

# More cases a second than any machine was seen to do, so that the clock ends a run and not their number.
CASES_PER_S = 400


@dataclass(slots=True, kw_only=True)
class Deadline:
    """Ends a run of random cases at the first case that is done after its time.

    Attributes:
        seconds: None is no deadline.
        each: results of one case.
        done: cases that were done.
    """

    seconds: float | None
    each: int
    done: int = 0

    def limit(self, results: Iterable[Result]) -> Iterator[Result]:
        """The results of whole cases until the time is up; the clock starts when the first case is done.

        What comes before that (a process for --isolate, imports) takes seconds, and none of the cases' time.
        """
        end = None
        source = iter(results)
        try:
            while case := list(islice(source, self.each)):
                self.done += 1
                yield from case
                if end is None and self.seconds is not None:
                    end = time.monotonic() + self.seconds
                elif end is not None and time.monotonic() >= end:
                    return
        finally:
            if isinstance(source, Generator):
                source.close()  # the process of --isolate ends now, and not when it is collected


def refuse_mixture(**given: bool) -> None:
    """Suites, random cases and vectors each choose the cases.

    Raises:
        ConvbenchError: more than one of them is given.
    """
    chosen = [name for name, there in given.items() if there]
    if len(chosen) > 1:
        options_given = " and ".join("--" + name.replace("_", "-") for name in chosen)
        raise ConvbenchError(
            f"{options_given} each choose the cases; give one of them, and the others in runs of their own"
        )


def refuse_filters(**given: bool) -> None:
    """What chooses among the problems of suites says nothing to random cases and vectors.

    Raises:
        ConvbenchError: one of them is given.
    """
    if chosen := [name for name, there in given.items() if there]:
        names = {"sizes": "--batch or --axis of a size"}
        raise ConvbenchError(
            f"{' and '.join(names.get(name, '--' + name) for name in chosen)} does not go with --fuzz, --seconds or "
            f"--vectors, whose cases come as they are; leave it out"
        )


def choose_random(
    count: int | None,
    seconds: float | None,
    *,
    seed: int,
    dtype: options.Words,
    layout: options.Words,
    pass_: options.Words,
    epilogues: Sequence[str],
    precisions: Sequence[str],
    devices: Sequence[str],
    backends: "list[Backend]",
) -> Selection:
    """The random cases of a seed; each axis is drawn among the values given, or among all."""
    from convbench.suites.fuzz import fuzz

    most = MOST_CASES if seconds is None else min(MOST_CASES, ceil(seconds * CASES_PER_S))
    if count is not None and count > MOST_CASES:
        raise ConvbenchError(
            f"--fuzz {count}: at most {MOST_CASES:,} cases are run at once; another --seed gives others"
        )
    cases = fuzz(
        seed,
        dtypes=options.choose("dtype", dtype, DTYPES, DTYPES),
        layouts=options.choose("layout", layout, LAYOUTS, LAYOUTS),
        passes=options.choose("pass", pass_, PASSES, PASSES),
        epilogues=epilogues,
        precisions=precisions,
        devices=devices,
    )
    return Selection(cases=list(islice(cases, most if count is None else min(count, most))), backends=backends)


def choose_vectors(
    corpora: options.Words,
    *,
    seed: int,
    dtype: options.Words,
    layout: options.Words,
    precisions: Sequence[str],
    devices: Sequence[str],
    backends: "list[Backend]",
) -> tuple[Selection, int]:
    """The cases of the corpora, and 1 where a corpus and the oracle disagree or one holds too little, else 0.

    What was counted, left out and refused goes to stderr.
    """
    from convbench.cli.problems import tell_left_out
    from convbench.suites.foreign import LeftOut
    from convbench.verify.vectors import LEAST, find_disagreements, load_corpus

    code, cases = 0, []
    dtypes = options.choose("dtype", dtype, DTYPES, ())
    layouts = options.choose("layout", layout, LAYOUTS, LAYOUTS)
    for name in dict.fromkeys(options.words(corpora)):
        corpus = load_corpus(name.lower())
        wrong = find_disagreements(corpus)
        least, counted = LEAST[corpus.name]
        words = f"{corpus.name} ({corpus.version}): {len(corpus.vectors)} cases"
        words += f", {len(corpus.vectors) - len(wrong)} agree with the oracle"
        if corpus.refused or corpus.accepted:
            total = len(corpus.refused) + len(corpus.accepted)
            by = ", ".join(f"{corpus.refused.count(who)} by {who}" for who in sorted(set(corpus.refused)))
            words += f"; {len(corpus.refused)} of {total} ill-formed calls refused ({by})"
        tell(words)
        tell_left_out(LeftOut(kind=why, place=corpus.name, detail=what) for what, why in corpus.left_out)
        wrong += [f"{corpus.name}:{one} is no convolution, and nobody refuses it" for one in corpus.accepted]
        if len(corpus.vectors) < least:
            wrong.append(
                f"expected at least {least} cases of {corpus.name}, as {counted} has, and found {len(corpus.vectors)}"
            )
        for line in wrong:
            tell(line)
            code = WRONG
        cases += [
            Case(
                problem=corpus.problem(vector),
                dtype=one,
                layout=place,
                precision=precision,
                device=device,
                seed=seed,
                pass_=vector.pass_,
                epilogue=vector.epilogue,
            )
            for device in devices
            for vector in corpus.vectors
            for one in dtypes or (vector.dtype,)
            for place in layouts
            for precision in (precisions if one == "fp32" else ("ieee",))
        ]
    if not cases or not backends:
        tell("there is no vector to run; nothing was done")
        raise typer.Exit(code or NOTHING)
    return Selection(cases=cases, backends=backends), code
