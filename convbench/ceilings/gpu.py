"""The probes of a CUDA device: products, convolutions, multiply-adds, copies, and kernels that do nothing."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from convbench.call.tensors import TORCH_DTYPE
from convbench.ceilings.cpu import square
from convbench.ceilings.measure import Probe, Recipe, in_blocks
from convbench.machine import free_nbytes

BLOCK_S = 5e-3
CHAIN = 200  # kernels of a graph, so that starting the graph itself counts for little


def compute_probes(dtype: str) -> Iterator[Recipe]:
    """Whatever may reach the highest FLOP/s in this dtype, under the arithmetic that stands.

    The 3x3 convolution has stride 2: for stride 1 cuDNN may choose Winograd or FFT, which do
    fewer operations than they would be credited with.
    """
    for size in (4096, 8192):
        yield f"torch.mm {size}", partial(_product, dtype, size)
    yield "cuDNN 3x3 stride 2 256x56x56", partial(_convolution, dtype, 3, 2)
    yield "cuDNN 1x1 512x28x28", partial(_convolution, dtype, 1, 1)
    if dtype in ("fp32", "fp64"):
        yield "triton fma", partial(_registers, dtype)


def memory_probes(nbytes: int) -> Iterator[Recipe]:
    """Bytes a second, read and written, over `nbytes` in all."""
    room = cache(lambda: torch.zeros(nbytes // 4, device="cuda"))
    for name, buffers in (("torch copy_", 2), ("torch add", 3), ("torch sum", 1)):
        yield name, partial(_stream, name, buffers, room)


def launch_probes() -> Iterator[Recipe]:
    """Kernels a second that do next to nothing: called one by one, and replayed from a CUDA graph."""
    yield "chain of add_", partial(_tiny, graph=False)
    yield "CUDA graph of add_", partial(_tiny, graph=True)


def levels() -> list[tuple[str, int | None]]:
    """The L2 cache and the memory of the device."""
    nbytes = int(torch.cuda.get_device_properties().L2_cache_size)
    return [("L2", nbytes), ("memory", None)] if nbytes else [("memory", None)]


def level_nbytes(capacity: int | None, nearer: int) -> int:
    """A working set that lives in a level of `capacity` bytes and not in one of `nearer`; None is main memory."""
    if capacity is not None:
        return capacity // 2  # the halves of an H100's L2 may each keep a copy
    room = free_nbytes("cuda")
    return min(max(8 * nearer, 1 << 30), 4 << 30 if room is None else room // 4)


def _by_events(name: str, work: float, call: Callable[[], Any], *, kernels: int = 1) -> Probe:
    """A probe timed by events on the current stream; `kernels` calls go into one CUDA graph where above 1."""
    if kernels > 1:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # a capture wants its operators warm, and a stream of its own
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(kernels):
                call()
        call, work = graph.replay, work * kernels

    def timed(count: int) -> float:
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for _ in range(count):
            call()
        stop.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(stop)) * 1e-3

    return in_blocks(name, work, call, timed, block_s=BLOCK_S)


def _product(dtype: str, size: int) -> Probe:
    a, b = (torch.randn(size, size, device="cuda").to(TORCH_DTYPE[dtype]) for _ in range(2))
    out = torch.empty_like(a)
    return _by_events(f"torch.mm {size}", 2 * size**3, lambda: torch.mm(a, b, out=out))


def _convolution(dtype: str, kernel: int, stride: int) -> Probe:
    batch, channels, size = (32, 256, 56) if kernel == 3 else (64, 512, 28)
    x, w = (
        torch.randn(*shape, device="cuda").to(TORCH_DTYPE[dtype]).contiguous(memory_format=torch.channels_last)
        for shape in ((batch, channels, size, size), (channels, channels, kernel, kernel))
    )
    pad = kernel // 2
    tf32 = torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]  # torch adds it when imported

    def call() -> Tensor:
        return torch.cudnn_convolution(x, w, [pad] * 2, [stride] * 2, [1, 1], 1, True, False, tf32)

    name = f"cuDNN {kernel}x{kernel} {'stride 2 ' if stride == 2 else ''}{channels}x{size}x{size}"
    return _by_events(name, 2 * square(batch, channels, size, kernel, stride).inner_macs, call)


def _registers(dtype: str) -> Probe:
    from convbench.ceilings.triton_fma import BLOCK, FMAS, fma_loop

    programs = 16 * torch.cuda.get_device_properties().multi_processor_count
    numbers = torch.zeros(programs * BLOCK, dtype=TORCH_DTYPE[dtype], device="cuda")
    rounds = 64

    def call() -> Any:
        return fma_loop[(programs,)](numbers, rounds)

    return _by_events("triton fma", 2 * programs * BLOCK * FMAS * rounds, call)


def _stream(name: str, buffers: int, get_room: Callable[[], Tensor]) -> Probe:
    room = get_room()
    length = room.numel() // buffers // 32 * 32
    parts = room[: buffers * length].view(buffers, length)
    out = torch.zeros((), device="cuda")
    calls: dict[str, Callable[[], Any]] = {
        "torch copy_": lambda: parts[1].copy_(parts[0]),
        "torch add": lambda: torch.add(parts[0], parts[1], out=parts[2]),
        "torch sum": lambda: torch.sum(parts[0], dim=0, out=out),
    }
    # Within L2 a copy is over before the next can be called; a graph leaves no gaps.
    return _by_events(name, 4 * buffers * length, calls[name], kernels=20)


def _tiny(*, graph: bool) -> Probe:
    x = torch.zeros(1, device="cuda")
    name = "CUDA graph of add_" if graph else "chain of add_"
    return _by_events(name, 1, lambda: x.add_(1), kernels=CHAIN if graph else 1)
