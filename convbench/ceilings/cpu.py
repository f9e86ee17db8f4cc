"""The probes of a CPU: products and convolutions of the libraries, and loops that only do arithmetic."""

import platform
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.call.tensors import TORCH_DTYPE
from convbench.ceilings.measure import Probe, Recipe, in_blocks
from convbench.device.host import cpus_allowed
from convbench.dtypes import DTYPE
from convbench.machine import free_nbytes
from convbench.spec import ConvSpec

LOOP_S = 1e-3  # of one loop: short, so on a busy machine some find all threads at work
LARGEST_NBYTES = 1 << 30


def compute_probes(dtype: str, threads: int) -> Iterator[Recipe]:
    """Everything that may reach the highest FLOP/s on `threads` threads in this dtype.

    One product alone says little: MKL's was seen at half of what oneDNN's convolutions do on an
    AMD CPU. What a CPU cannot add in fewer bits it adds in 32, so the loops in fp32 count there too.
    """
    if _libraries_have(dtype):
        edge = max(512, round(1024 * (threads / 2) ** (1 / 3) / 128) * 128)  # about 10 ms, whatever the threads
        for size in (edge // 2, edge):
            yield f"torch.mm {size}", partial(_product, dtype, size)
        if dtype != "fp64":  # oneDNN has none
            # Where torch may hand it to the Arm Compute Library, stride 2 keeps Winograd away.
            stride = 1 if platform.machine().lower() in ("x86_64", "amd64") else 2
            yield "oneDNN 3x3 256x28x28", partial(_convolution, dtype, 3, stride, threads)
            yield "oneDNN 1x1 256x28x28", partial(_convolution, dtype, 1, 1, 4 * threads)
        # OpenBLAS has threads of its own, as many as there are CPUs: fewer cannot be asked for from here.
        if dtype in ("fp32", "fp64") and threads >= cpus_allowed():
            yield f"numpy matmul {edge}", partial(_numpy_product, dtype, edge)
    yield from _loops(dtype, threads, "")
    if DTYPE[dtype].narrow:
        yield from _loops("fp32", threads, " in fp32")


def memory_probes(level: str, nbytes: int, threads: int) -> Iterator[Recipe]:
    """Bytes per second, read and written, over `nbytes` in all, shared out among the threads."""
    from convbench.ceilings.simd import STREAMS

    room = cache(lambda: _aligned(nbytes))  # one for all of them: they take turns
    for name in STREAMS:
        if "past" not in name or level == "memory":  # non-temporal stores are for what no cache holds
            yield f"llvm {name}", partial(_stream, name, room, threads)
    if level != "L1":  # there torch's dispatch takes longer than the copy
        yield "torch copy_", partial(_torch_copy, room)
        yield "torch add", partial(_torch_add, room)


def launch_probes() -> Iterator[Recipe]:
    """Calls per second of operators with next to nothing to do: torch's dispatch."""
    yield "F.conv2d 1x1x1x1", _smallest_convolution
    yield "Tensor.neg_ 1", _smallest_operator


def level_nbytes(capacity: int | None, nearer: int) -> int:
    """A working set that lives in a level of `capacity` bytes and not in one of `nearer`; None is main memory."""
    if capacity is not None:
        return min(max(capacity // 2, 2 * nearer), capacity * 3 // 4)
    return max(min(max(4 * nearer, 64 << 20), LARGEST_NBYTES), 2 * nearer)


def _libraries_have(dtype: str) -> bool:
    """Whether products in this dtype have arithmetic of their own; torch's plain loops would take seconds."""
    if dtype in ("fp32", "fp64"):
        return True
    if not torch.backends.mkldnn.is_available():  # torch.ops.mkldnn is not there either, then
        return False
    supported = getattr(torch.ops.mkldnn, f"_is_mkldnn_{dtype}_supported", None)
    return supported is not None and bool(supported())


def _by_clock(name: str, work: float, call: Callable[[], Any]) -> Probe:
    def timed(count: int) -> float:
        begin = time.perf_counter()
        for _ in range(count):
            call()
        return time.perf_counter() - begin

    return in_blocks(name, work, call, timed)


def _product(dtype: str, size: int) -> Probe:
    a, b = (torch.randn(size, size).to(TORCH_DTYPE[dtype]) for _ in range(2))
    out = torch.empty_like(a)
    return _by_clock(f"torch.mm {size}", 2 * size**3, lambda: torch.mm(a, b, out=out))


def _numpy_product(dtype: str, size: int) -> Probe:
    import numpy as np

    a, b = (torch.randn(size, size).to(TORCH_DTYPE[dtype]).numpy() for _ in range(2))
    out = np.empty_like(a)
    return _by_clock(f"numpy matmul {size}", 2 * size**3, lambda: np.matmul(a, b, out=out))


def _convolution(dtype: str, kernel: int, stride: int, batch: int) -> Probe:
    x, w = (torch.randn(*shape).to(TORCH_DTYPE[dtype]) for shape in ((batch, 256, 28, 28), (256, 256, kernel, kernel)))

    def call() -> Tensor:
        return torch.mkldnn_convolution(x, w, None, [kernel // 2] * 2, [stride] * 2, [1, 1], 1)

    return _by_clock(f"oneDNN {kernel}x{kernel} 256x28x28", 2 * square(batch, 256, 28, kernel, stride).inner_macs, call)


def square(batch: int, channels: int, size: int, kernel: int, stride: int) -> ConvSpec:
    """A convolution with as many filters as channels, padded so every output has its middle on the image."""
    sides: dict[str, Any] = {"stride": (stride, stride), "padding": (kernel // 2, kernel // 2)}
    return ConvSpec(n=batch, c=channels, h=size, w=size, k=channels, r=kernel, s=kernel, **sides)


def _loops(dtype: str, threads: int, suffix: str) -> Iterator[Recipe]:
    try:
        from convbench.ceilings.simd import fma_loops

        loops = list(fma_loops(dtype))
    except Exception as error:  # a CPU that LLVM cannot compile for: the other probes stand
        reason = error

        def refuse() -> Probe:
            raise reason

        yield f"llvm loops{suffix}", refuse
        return
    for one in loops:
        yield one.name + suffix, partial(_registers, one, threads, suffix)


def _registers(one: Any, threads: int, suffix: str) -> Probe:
    from convbench.ceilings.simd import together

    rooms = _aligned(4096 * threads)
    starts = [rooms.data_ptr() + 4096 * number for number in range(threads)]
    rounds = _repeats(lambda count: one.loop(starts[0], starts[0] + 1024, starts[0], 0, count))
    calls = [partial(one.loop, start, start + 1024, start, 0, rounds) for start in starts]
    return Probe(
        name=one.name + suffix, work=threads * rounds * one.flops, run=lambda: together(calls, keep_alive=rooms)
    )


def _stream(name: str, get_room: Callable[[], Tensor], threads: int) -> Probe:
    from convbench.ceilings.simd import stream_loop, streamed, together, unit

    room, loop, buffers = get_room(), stream_loop(name), streamed(name)
    each = room.numel() // threads // buffers // unit() * unit()
    if not each:
        raise ValueError(f"{room.numel()} bytes are not enough for {threads} threads")
    places = []
    for thread in range(threads):
        first = room.data_ptr() + thread * buffers * each
        places.append([first + number % buffers * each for number in range(3)])
    repeats = _repeats(lambda count: loop(*places[0], each, count))
    calls = [partial(loop, *place, each, repeats) for place in places]
    return Probe(
        name=f"llvm {name}",
        work=threads * buffers * each * repeats,
        run=lambda: together(calls, keep_alive=room),
    )


def _repeats(loop: Callable[[int], Any]) -> int:
    """How many turns take about LOOP_S on one thread."""
    count = 1
    while True:
        begin = time.perf_counter()
        loop(count)
        elapsed = time.perf_counter() - begin
        if elapsed >= LOOP_S / 4:
            return max(1, round(count * LOOP_S / elapsed))
        count *= 4


def _aligned(nbytes: int) -> Tensor:
    """Zeroed bytes that begin where a cache line does.

    Raises:
        MemoryError: they are more than a quarter of what is free.
    """
    from convbench.ceilings.simd import ALIGNMENT

    if (free := free_nbytes("cpu")) is not None and nbytes > free // 4:
        raise MemoryError(f"it needs {nbytes >> 20:,} MiB, and {free >> 20:,} MiB are free")
    room = torch.zeros(nbytes + ALIGNMENT, dtype=torch.uint8)
    return room[-room.data_ptr() % ALIGNMENT :][:nbytes]


def _torch_copy(get_room: Callable[[], Tensor]) -> Probe:
    source, to = _parts(get_room(), 2)
    return _by_clock("torch copy_", 8 * source.numel(), lambda: to.copy_(source))


def _torch_add(get_room: Callable[[], Tensor]) -> Probe:
    one, other, out = _parts(get_room(), 3)
    return _by_clock("torch add", 12 * one.numel(), lambda: torch.add(one, other, out=out))


def _parts(room: Tensor, count: int) -> list[Tensor]:
    """So many float32 tensors of one length in the room."""
    length = room.numel() // count // 64 * 16
    return list(room.view(torch.float32)[: count * length].view(count, length))


def _smallest_convolution() -> Probe:
    x, w = torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    return _by_clock("F.conv2d 1x1x1x1", 1, lambda: F.conv2d(x, w))


def _smallest_operator() -> Probe:
    x = torch.ones(1)
    return _by_clock("Tensor.neg_ 1", 1, x.neg_)
