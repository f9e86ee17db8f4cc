"""What is a backend asked on a case: the exam, whole numbers, one NaN?"""

from convbench.verify.exam import Exam
from convbench.verify.lattice import Lattice
from convbench.verify.locality import Locality


class Probes:
    """The exam of a case and its siblings, shared by all backends; each truth is computed when it is first needed."""

    def __init__(self, exam: Exam) -> None:
        self.exam = exam
        self.locality = Locality(exam=exam)
        self.lattices: dict[bool, Lattice] = {}

    def adopt(self, other: "Probes") -> None:
        """Take over what another's truths are known to be: of the same numbers in another layout."""
        self.exam.adopt(other.exam)
        for small, lattice in other.lattices.items():
            self.lattices[small] = Lattice(case=self.exam.case, small=small)
            self.lattices[small].adopt(lattice)

    def lattice_for(self, family: str) -> Lattice:
        """Whole numbers; small ones for an algorithm that rounds on its way."""
        small = family in ("winograd", "fft")
        if small not in self.lattices:
            self.lattices[small] = Lattice(case=self.exam.case, small=small)
        return self.lattices[small]
