"""What can the vector units and the caches do when nothing else is in the way?

Loops written in LLVM's language and compiled by llvmlite, with explicit vectors and no C
compiler: fused multiply-adds that never leave the registers, and streams of loads and stores.
A library's kernel has packing, edges and calls around such loops, so it can only be slower.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from convbench.jit.llvm import Loop, compile_loop, fuses, has, on_x86, vector_bits

ALIGNMENT = 64  # bytes: a cache line, and the widest vector

# The bytes of a number in LLVM's words.
TYPES = {"fp64": ("double", 8), "fp32": ("float", 4), "fp16": ("half", 2)}
STREAMS = ("read", "copy", "triad", "copy past the cache", "triad past the cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class FmaLoop:
    """Multiply-adds in registers: `loop(room, room, room, 0, rounds)` does `rounds * flops` operations."""

    name: str
    flops: int
    loop: Loop


def fma_loops(dtype: str) -> Iterator[FmaLoop]:
    """One loop for each vector width that this CPU has for the dtype, the widest first."""
    if dtype == "bf16":
        # Two products of a pair of bf16 into each fp32 lane (VDPBF16PS): 4 operations a lane.
        if has("avx512bf16"):
            lanes = 16
            body = (
                f"call <{lanes} x float> @llvm.x86.avx512bf16.dpbf16ps.512"
                f"(<{lanes} x float> %a{{n}}, <{2 * lanes} x bfloat> %u, <{2 * lanes} x bfloat> %v)"
            )
            loop = compile_loop(
                _register_loop(f"<{lanes} x float>", f"<{2 * lanes} x bfloat>", body, chains=_chains(512))
                + f"declare <{lanes} x float> @llvm.x86.avx512bf16.dpbf16ps.512"
                f"(<{lanes} x float>, <{2 * lanes} x bfloat>, <{2 * lanes} x bfloat>)\n"
            )
            yield FmaLoop(name="llvm dpbf16 512-bit", flops=4 * lanes * _chains(512), loop=loop)
        return
    if dtype not in TYPES or (dtype == "fp16" and not (has("avx512fp16") or has("fullfp16"))):
        return
    word, nbytes = TYPES[dtype]
    for bits in vector_bits():
        lanes, chains = bits // 8 // nbytes, _chains(bits)
        vector = f"<{lanes} x {word}>"
        suffix = f"v{lanes}f{8 * nbytes}"
        declared = ""
        if fuses():
            body = f"call {vector} @llvm.fma.{suffix}({vector} %a{{n}}, {vector} %u, {vector} %v)"
            declared = f"declare {vector} @llvm.fma.{suffix}({vector}, {vector}, {vector})\n"
        else:  # llvm.fma would be a call for each number
            body = f"fmul {vector} %a{{n}}, %u\n  %b{{n}} = fadd {vector} %m{{n}}, %v"
        text = _register_loop(vector, vector, body, chains=chains) + declared
        name = f"llvm {'fma' if fuses() else 'mul+add'} {bits}-bit"
        yield FmaLoop(name=name, flops=2 * lanes * chains, loop=compile_loop(text))


@cache
def stream_loop(name: str) -> Loop:
    """`loop(to, from, other, bytes, repeats)` streams `bytes` of each buffer, a multiple of `unit()`, that often."""
    lanes = vector_bits()[0] // 32
    vector, step, unrolled = f"<{lanes} x float>", 4 * lanes, 8
    past = ", !nontemporal !0" if "past" in name else ""
    lines: list[str] = []
    for n in range(unrolled):
        lines.append(f"%at{n} = add i64 %i, {n * step}")
        lines += [f"%pb{n} = getelementptr i8, ptr %b, i64 %at{n}", f"%vb{n} = load {vector}, ptr %pb{n}, align {step}"]
        if name == "read":  # kept alive by a sum that is stored at the end
            lines += [
                f"%ib{n} = bitcast {vector} %vb{n} to <{lanes} x i32>",
                f"%s{n} = xor <{lanes} x i32> {'%sum' if n == 0 else f'%s{n - 1}'}, %ib{n}",
            ]
            continue
        value = f"%vb{n}"
        if "triad" in name:
            lines += [
                f"%pc{n} = getelementptr i8, ptr %c, i64 %at{n}",
                f"%vc{n} = load {vector}, ptr %pc{n}, align {step}",
                f"%t{n} = fadd {vector} %vb{n}, %vc{n}",
            ]
            value = f"%t{n}"
        lines += [
            f"%pa{n} = getelementptr i8, ptr %a, i64 %at{n}",
            f"store {vector} {value}, ptr %pa{n}, align {step}{past}",
        ]
    sums = f"<{lanes} x i32>"
    last = f"%s{unrolled - 1}" if name == "read" else "%sum"
    body = "\n  ".join(lines)
    return compile_loop(f"""
define void @loop(ptr noalias %a, ptr noalias %b, ptr noalias %c, i64 %nbytes, i64 %repeats) {{
start:
  br label %outer
outer:
  %r = phi i64 [0, %start], [%r1, %again]
  %sum0 = phi {sums} [zeroinitializer, %start], [{last}, %again]
  br label %inner
inner:
  %i = phi i64 [0, %outer], [%i1, %inner]
  %sum = phi {sums} [%sum0, %outer], [{last}, %inner]
  {body}
  %i1 = add i64 %i, {step * unrolled}
  %more = icmp slt i64 %i1, %nbytes
  br i1 %more, label %inner, label %again
again:
  %r1 = add i64 %r, 1
  %rest = icmp slt i64 %r1, %repeats
  br i1 %rest, label %outer, label %end
end:
  {f"store {sums} {last}, ptr %a, align {step}" if name == "read" else ""}
  ret void
}}
!0 = !{{i32 1}}
""")


def unit() -> int:
    """The bytes that one turn of a stream loop takes of each buffer."""
    return vector_bits()[0] // 8 * 8


def streamed(name: str) -> int:
    """How many buffers a stream reads or writes; the lines that a store reads first are not counted."""
    return {"read": 1, "copy": 2}.get(name.partition(" ")[0], 3)


def together(calls: Sequence[Callable[[], Any]], *, keep_alive: object = None) -> float:  # noqa: ARG001
    """Seconds from the first start to the last end of calls that run at once, each on a thread of its own.

    ctypes lets go of the interpreter's lock, so the loops run side by side. They know addresses
    only, so the caller passes the memory as `keep_alive`.
    """
    spans: list[tuple[float, float]] = []
    ready = threading.Barrier(len(calls))

    def work(call: Callable[[], Any]) -> None:
        ready.wait()
        start = time.perf_counter()
        call()
        spans.append((start, time.perf_counter()))

    if len(calls) == 1:
        work(calls[0])
    else:
        threads = [threading.Thread(target=work, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return max(end for _, end in spans) - min(start for start, _ in spans)


def _chains(bits: int) -> int:
    """Independent sums: more than latency times units (8 to 16), and all in registers with the two factors."""
    return 24 if bits == 512 or not on_x86() else 12


def _register_loop(sums: str, factors: str, body: str, *, chains: int) -> str:
    """A loop over `chains` sums, a = a * u + v; u = 1/2 and v = 1 lead to 2, far from subnormal numbers.

    Factors and sums come from memory and the sums go back there, so nothing can be computed beforehand.
    """
    word = factors.rsplit(maxsplit=1)[-1].rstrip(">")
    phis = "\n  ".join(f"%a{n} = phi {sums} [%first, %start], [%b{n}, %next]" for n in range(chains))
    steps = "\n  ".join(
        (f"%m{n} = " if body.startswith("fmul") else f"%b{n} = ") + body.format(n=n) for n in range(chains)
    )
    ends = "\n  ".join(f"store {sums} %b{n}, ptr %to, align 4" for n in range(chains))
    half, one = ("0xR3F00", "0xR3F80") if word == "bfloat" else ("0.5", "1.0")
    lanes = int(factors[1:].split(maxsplit=1)[0])

    def splat(value: str) -> str:
        return "<" + ", ".join([f"{word} {value}"] * lanes) + ">"

    return f"""
define void @loop(ptr %to, ptr %from, ptr %other, i64 %nbytes, i64 %rounds) {{
start:
  store {factors} {splat(half)}, ptr %from, align 4
  %u = load volatile {factors}, ptr %from, align 4
  store {factors} {splat(one)}, ptr %from, align 4
  %v = load volatile {factors}, ptr %from, align 4
  %first = load volatile {sums}, ptr %to, align 4
  br label %next
next:
  %i = phi i64 [0, %start], [%i1, %next]
  {phis}
  {steps}
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %rounds
  br i1 %more, label %next, label %end
end:
  {ends}
  ret void
}}
"""
