"""Which cases are third-party test vectors, and are their corpora valid?"""

from collections.abc import Callable, Sequence

from convbench.case import Case
from convbench.suites.choose import left_out_remarks
from convbench.suites.foreign import LeftOut
from convbench.verify.vectors import LEAST, Corpus, load_corpus
from convbench.verify.vectors.agreement import find_disagreements


def vector_cases(
    corpora: Sequence[str],
    *,
    dtypes: Sequence[str],
    layouts: Sequence[str],
    precisions: Sequence[str],
    devices: Sequence[str],
    accuracies: Sequence[str],
    seed: int,
    tell: Callable[[str], None],
) -> tuple[list[Case], list[str]]:
    """The cases of the corpora, and in lines where a corpus and the oracle disagree or one holds too little.

    Args:
        dtypes: those of each vector if there is none.
        tell: takes lines on what was counted, left out and refused.
    """
    faults, cases = [], []
    for name in dict.fromkeys(corpora):
        corpus = load_corpus(name.lower())
        wrong = find_disagreements(corpus)
        tell(_summary(corpus, agree=len(corpus.vectors) - len(wrong)))
        for remark in left_out_remarks(
            LeftOut(kind=why, place=corpus.name, detail=what) for what, why in corpus.left_out
        ):
            tell(remark)
        wrong += [f"{corpus.name}:{one} is not a convolution, but nothing refuses it" for one in corpus.accepted]
        least, counted = LEAST[corpus.name]
        if len(corpus.vectors) < least:
            wrong.append(
                f"expected at least {least} cases of {corpus.name}, as in {counted}, but found {len(corpus.vectors)}"
            )
        for line in wrong:
            tell(line)
        faults += wrong
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
                accuracy=accuracy,
            )
            for device in devices
            for vector in corpus.vectors
            for one in dtypes or (vector.dtype,)
            for place in layouts
            for precision in (precisions if one == "fp32" else ("ieee",))
            for accuracy in accuracies
        ]
    return cases, faults


def _summary(corpus: Corpus, *, agree: int) -> str:
    words = f"{corpus.name} ({corpus.version}): {len(corpus.vectors)} cases, {agree} agree with the oracle"
    if corpus.refused or corpus.accepted:
        total = len(corpus.refused) + len(corpus.accepted)
        by = ", ".join(f"{corpus.refused.count(who)} by {who}" for who in sorted(set(corpus.refused)))
        words += f"; {len(corpus.refused)} of {total} ill-formed calls refused ({by})"
    return words
