"""Which vectors does this CPU compute with, and how does a loop in LLVM's language become a function?"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm

# Every loop is called as f(to, from, from, bytes, repeats).
Loop = Callable[..., None]
_SIGNATURE = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 2)


@cache
def vector_bits() -> tuple[int, ...]:
    """Widths of the vectors that this CPU computes with, the widest first."""
    if has("avx512f"):
        return (512, 256)
    return (256, 128) if has("avx") else (128,)


def has(feature: str) -> bool:
    """Whether the CPU has what LLVM calls by this name."""
    return bool(host_features().get(feature))


@cache
def host_features() -> dict[str, bool]:
    """All that LLVM knows of, and whether this CPU has it."""
    return dict(llvm.get_host_cpu_features())


def fuses() -> bool:
    """Whether a multiply-add is one instruction."""
    return not on_x86() or has("fma")


def on_x86() -> bool:
    return "x86" in llvm.get_process_triple()


def compile_loop(text: str) -> Loop:
    """The function `loop` of a module, compiled for this very CPU."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    features = ",".join(("+" if there else "-") + name for name, there in host_features().items())
    machine = target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    loop: Any = _SIGNATURE(engine.get_function_address("loop"))
    loop.engine = engine  # its memory holds the code
    return loop  # type: ignore[no-any-return]  # ctypes has no type for it
