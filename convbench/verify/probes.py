"""Which probes run on a case: the exam, integers, one NaN?"""

from convbench.verify.exam import Exam
from convbench.verify.lattice import Lattice
from convbench.verify.locality import Locality


class Probes:
    """The exam of a case and its siblings, shared by all backends; each truth is computed when it is first needed."""

    def __init__(self, exam: Exam) -> None:
        self.exam = exam
        self.locality = Locality(exam=exam)
        self.lattices: dict[str, Lattice] = {}

    def adopt(self, other: "Probes") -> None:
        """Reuse the truths of the same numbers in another layout."""
        self.exam.adopt(other.exam)
        for family, lattice in other.lattices.items():
            self.lattices[family] = Lattice(case=self.exam.case, family=family)
            self.lattices[family].adopt(lattice)

    def lattice_for(self, family: str) -> Lattice:
        """Integers; small ones for an algorithm that rounds in between, or whose sums are larger."""
        kind = {"winograd": "winograd", "fft": "winograd", "strassen": "strassen"}.get(family, "direct")
        if kind not in self.lattices:
            self.lattices[kind] = Lattice(case=self.exam.case, family=kind)
        return self.lattices[kind]
