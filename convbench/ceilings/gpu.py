"""The probes of a CUDA device: products, convolutions, multiply-adds, copies, and kernels that do nothing."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from convbench.call.tensors import TORCH_DTYPE
from convbench.ceilings.cpu import square
from convbench.ceilings.measure import Probe, Recipe, in_blocks
from convbench.device import Device

BLOCK_S = 5e-3
CHAIN = 200  # kernels of a graph, so starting the graph itself counts for little


def compute_probes(device: Device, dtype: str) -> Iterator[Recipe]:
    """Everything that may reach the highest FLOP/s in this dtype, under the current arithmetic.

    The 3x3 convolution has stride 2: for stride 1 cuDNN may choose Winograd or FFT, which do
    fewer operations than they would be credited with.
    """
    for size in (4096, 8192):
        yield f"torch.mm {size}", partial(_product, device, dtype, size)
    yield "cuDNN 3x3 stride 2 256x56x56", partial(_convolution, device, dtype, 3, 2)
    yield "cuDNN 1x1 512x28x28", partial(_convolution, device, dtype, 1, 1)
    if dtype in ("fp32", "fp64"):
        yield "triton fma", partial(_registers, device, dtype)


def memory_probes(device: Device, nbytes: int) -> Iterator[Recipe]:
    """Bytes per second, read and written, over `nbytes` in all."""
    room = cache(lambda: torch.randn(nbytes // 4, device=device.torch_name))  # zeros take less power, and run faster
    for name, buffers in (("torch copy_", 2), ("torch add", 3), ("torch sum", 1)):
        yield name, partial(_stream, device, name, buffers, room)


def launch_probes(device: Device) -> Iterator[Recipe]:
    """Kernels per second that do next to nothing: called one by one, and replayed from a CUDA graph."""
    yield "chain of add_", partial(_tiny, device, graph=False)
    yield "CUDA graph of add_", partial(_tiny, device, graph=True)


def levels(device: Device) -> list[tuple[str, int | None]]:
    """The L2 cache and the memory of the device."""
    nbytes = int(device.properties().L2_cache_size)
    return [("L2", nbytes), ("memory", None)] if nbytes else [("memory", None)]


def level_nbytes(device: Device, capacity: int | None, nearer: int) -> int:
    """A working set that lives in a level of `capacity` bytes and not in one of `nearer`; None is main memory."""
    if capacity is not None:
        return capacity // 2  # the halves of an H100's L2 may each keep a copy
    room = device.free_nbytes()
    return min(max(8 * nearer, 1 << 30), 4 << 30 if room is None else room // 4)


def _by_events(device: Device, name: str, work: float, call: Callable[[], Any], *, kernels: int = 1) -> Probe:
    """A probe timed on the current stream; `kernels` calls go into one CUDA graph where above 1."""
    if kernels > 1:
        call, work = device.capture([call] * kernels), work * kernels
    return in_blocks(name, work, call, partial(device.time_block, call), block_s=BLOCK_S)


def _product(device: Device, dtype: str, size: int) -> Probe:
    a, b = (torch.randn(size, size, device=device.torch_name).to(TORCH_DTYPE[dtype]) for _ in range(2))
    out = torch.empty_like(a)
    return _by_events(device, f"torch.mm {size}", 2 * size**3, lambda: torch.mm(a, b, out=out))


def _convolution(device: Device, dtype: str, kernel: int, stride: int) -> Probe:
    batch, channels, size = (32, 256, 56) if kernel == 3 else (64, 512, 28)
    x, w = (
        torch.randn(*shape, device=device.torch_name)
        .to(TORCH_DTYPE[dtype])
        .contiguous(memory_format=torch.channels_last)
        for shape in ((batch, channels, size, size), (channels, channels, kernel, kernel))
    )
    pad = kernel // 2
    tf32 = torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]  # torch adds it when imported

    def call() -> Tensor:
        return torch.cudnn_convolution(x, w, [pad] * 2, [stride] * 2, [1, 1], 1, True, False, tf32)

    name = f"cuDNN {kernel}x{kernel} {'stride 2 ' if stride == 2 else ''}{channels}x{size}x{size}"
    return _by_events(device, name, 2 * square(batch, channels, size, kernel, stride).inner_macs, call)


def _registers(device: Device, dtype: str) -> Probe:
    from convbench.ceilings.triton_fma import BLOCK, FMAS, fma_loop

    programs = 16 * device.properties().multi_processor_count
    numbers = torch.zeros(programs * BLOCK, dtype=TORCH_DTYPE[dtype], device=device.torch_name)
    rounds = 64

    def call() -> Any:
        return fma_loop[(programs,)](numbers, rounds)

    return _by_events(device, "triton fma", 2 * programs * BLOCK * FMAS * rounds, call)


def _stream(device: Device, name: str, buffers: int, get_room: Callable[[], Tensor]) -> Probe:
    room = get_room()
    length = room.numel() // buffers // 32 * 32
    parts = room[: buffers * length].view(buffers, length)
    out = torch.zeros((), device=device.torch_name)
    calls: dict[str, Callable[[], Any]] = {
        "torch copy_": lambda: parts[1].copy_(parts[0]),
        "torch add": lambda: torch.add(parts[0], parts[1], out=parts[2]),
        "torch sum": lambda: torch.sum(parts[0], dim=0, out=out),
    }
    # Within L2 a copy is over before the next can be called; a graph leaves no gaps.
    return _by_events(device, name, 4 * buffers * length, calls[name], kernels=20)


def _tiny(device: Device, *, graph: bool) -> Probe:
    x = torch.zeros(1, device=device.torch_name)
    name = "CUDA graph of add_" if graph else "chain of add_"
    return _by_events(device, name, 1, lambda: x.add_(1), kernels=CHAIN if graph else 1)
