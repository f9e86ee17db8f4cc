"""For which CPU is a kernel compiled, and how much fits into its registers?"""

import os
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm

from convbench.errors import ConvbenchError, unknown
from convbench.jit.llvm import host_features

CHOICE = "CONVBENCH_VECTORS"  # an environment variable: fewer features than the CPU has


@dataclass(frozen=True, slots=True)
class Target:
    """A CPU as LLVM knows it.

    Attributes:
        lanes: floats in a vector.
        rows: of the register tile, rows by 2 vectors of sums: with them, two vectors and one spread number must fit.
    """

    triple: str
    cpu: str
    features: str
    lanes: int
    rows: int

    def machine(self) -> llvm.TargetMachine:
        """LLVM's code generator for it."""
        if "x86" in self.triple:
            llvm.initialize_native_target()
            llvm.initialize_native_asmprinter()
        else:
            llvm.initialize_all_targets()
            llvm.initialize_all_asmprinters()
        target = llvm.Target.from_triple(self.triple)
        return target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, codemodel="jitdefault", jit=True
        )


def avx512(triple: str, cpu: str, features: str) -> Target:
    """32 registers of 16: 14 x 2 sums, 2 vectors, 1 spread number."""
    return Target(triple, cpu, features + ",-prefer-256-bit", lanes=16, rows=14)


def avx2(triple: str, cpu: str, features: str) -> Target:
    """16 registers of 8: 6 x 2 sums, 2 vectors, 1 spread number. Wider vectors that LLVM has to split spill."""
    return Target(triple, cpu, features, lanes=8, rows=6)


def neon(triple: str, cpu: str, features: str) -> Target:
    """32 registers of 4."""
    return Target(triple, cpu, features, lanes=4, rows=12)


@cache
def host() -> Target:
    """The CPU of this machine, with no more features than CONVBENCH_VECTORS allows: avx512, avx2 or neon.

    Raises:
        ConvbenchError: it lacks what the kernels need, or the variable names something else.
    """
    if os.name != "posix":
        raise ConvbenchError("the compiled kernels run on Linux and macOS; in Windows use WSL")
    has, triple, cpu = host_features(), llvm.get_process_triple(), llvm.get_host_cpu_name()
    kinds = {}
    if has.get("avx512f") and has.get("avx512vl") and has.get("avx512dq"):
        kinds["avx512"] = avx512
    if has.get("avx2") and has.get("fma"):
        kinds["avx2"] = avx2
    if "aarch64" in triple or "arm64" in triple:
        kinds["neon"] = neon
    if not kinds:
        raise ConvbenchError(f"the CPU {cpu} has neither AVX2 with FMA nor NEON, which the compiled kernels need")
    name = os.environ.get(CHOICE) or next(iter(kinds))
    if name not in kinds:
        raise unknown(f"value of {CHOICE}", name, kinds)
    if name == "avx2":
        has = {one: there and "avx512" not in one and "avx10" not in one for one, there in has.items()}
    features = ",".join(("+" if there else "-") + one for one, there in has.items())
    return kinds[name](triple, cpu, features)
