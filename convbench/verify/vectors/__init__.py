"""Do the oracle and the backends agree with third-party test vectors?

Two corpora that come as packages: the node tests of ONNX, and the samples that torch tests its own
conv2d with. An oracle and a backend of one author may share a mistake in the definition;
these answers are independent.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from torch import Tensor

from convbench.call.tensors import TORCH_DTYPE
from convbench.case import Case, Problem
from convbench.errors import ConvbenchError, unknown
from convbench.spec import ConvSpec
from convbench.suites.edge import CORPORA

# What each corpus held when it was counted: an empty one must not pass for a good one.
LEAST = {"onnx": (17, "onnx 1.23.2"), "opinfo": (30, "torch 2.15.0")}
_NEEDS = {"onnx": ("onnx",), "opinfo": ("expecttest",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One test vector.

    Attributes:
        operands: in the order of the pass, in the dtype of the corpus.
        expected: the output that the corpus gives, of the pass's shape.
        dtype: the one that it is for.
    """

    name: str
    spec: ConvSpec
    operands: tuple[Tensor, ...]
    expected: Tensor
    dtype: str = "fp32"
    pass_: str = "fprop"

    @property
    def epilogue(self) -> str:
        return "bias" if len(self.operands) == 3 else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What a corpus holds for convbench.

    Attributes:
        version: of the package that it came with.
        left_out: names of what is not a case of convbench, with the reason.
        refused: invalid calls of the corpus, by what refuses them ("ConvSpec", "torch").
        accepted: invalid calls that nothing refuses, which is a fault.
    """

    name: str
    version: str
    vectors: tuple[Vector, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    refused: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()

    def problem(self, vector: Vector) -> Problem:
        return Problem(
            suite=self.name,
            name=vector.name,
            spec=vector.spec,
            source=self.version,
            dtype=vector.dtype,
            pass_=vector.pass_,
            operands=f"{self.name}:{vector.name}",
        )


@cache
def load_corpus(name: str) -> Corpus:
    """Read a corpus from its package.

    Raises:
        ConvbenchError: no such corpus, or a package is missing.
    """
    if name not in CORPORA:
        raise unknown("corpus", name, CORPORA)
    for package in _NEEDS[name]:
        if find_spec(package) is None:
            raise ConvbenchError(
                f"--vectors {name} needs the package {package}, which is not installed; try "
                f"pip install 'convbench[vectors]'"
            )
    corpus: Corpus = import_module(f"convbench.verify.vectors.{name}").load()
    return corpus


def operands_of(case: Case) -> tuple[Tensor, ...]:
    """The operands of the vector that a case's problem names, in the case's dtype on its device.

    Raises:
        ConvbenchError: there is no such vector, or it is one of another problem.
    """
    corpus, _, name = case.problem.operands.partition(":")
    vectors = {vector.name: vector for vector in load_corpus(corpus).vectors}
    if name not in vectors:
        raise unknown(f"vector of {corpus}", name, vectors)
    vector = vectors[name]
    if (vector.spec, vector.pass_, vector.epilogue) != (case.spec, case.pass_, case.epilogue):
        raise ConvbenchError(
            f"the vector {case.problem.operands} is {vector.spec} --pass {vector.pass_} --epilogue {vector.epilogue}, "
            f"not {case.spec} --pass {case.pass_} --epilogue {case.epilogue}"
        )
    return tuple(one.to(case.target.torch_name, TORCH_DTYPE[case.dtype]) for one in vector.operands)
