"""Do a corpus of test vectors and the oracle agree?"""

from convbench.case import Case
from convbench.verify.exam import make_exam
from convbench.verify.vectors import Corpus
from convbench.verify.verdict import check


def find_disagreements(corpus: Corpus) -> list[str]:
    """Cases in which the corpus' own answer is outside the bound around the oracle's, one line each."""
    lines = []
    for vector in corpus.vectors:
        case = Case(problem=corpus.problem(vector), dtype=vector.dtype, pass_=vector.pass_, epilogue=vector.epilogue)
        found = check(make_exam(case, *vector.operands), vector.expected, "direct")
        if not found.passed:
            lines.append(f"{corpus.name}:{vector.name} and the oracle disagree: {found.evidence}")
    return lines
