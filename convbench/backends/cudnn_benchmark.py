"""cuDNN, every plan tried and the fastest kept: torch's cudnn.benchmark without its limit of ten plans.

torch keeps a plan for a shape and does not ask whether it was found by the heuristic or by trying: the first one found
stays. It keeps them by thread (ATen's Conv_v8.cpp, `thread_local`), so this backend has a thread of its own, and
plans are not shared with other backends. Handing a call over costs the host some microseconds, which a graph
does not hold and an eager time does.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import torch
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends import _cudnn
from convbench.spec import ConvSpec


@cache
def own_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="cudnn-benchmark")


def apart(call: Callable[[], Tensor]) -> Tensor:
    """Make a call in the thread of this backend, on the caller's stream and under its settings."""
    stream, grad = torch.cuda.current_stream(), torch.is_grad_enabled()

    def make() -> Tensor:
        limit, benchmark = torch.backends.cudnn.benchmark_limit, torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark_limit, torch.backends.cudnn.benchmark = 0, True
        try:
            with torch.cuda.stream(stream), torch.set_grad_enabled(grad):
                return call()
        finally:
            torch.backends.cudnn.benchmark_limit, torch.backends.cudnn.benchmark = limit, benchmark

    return own_thread().submit(make).result()


def fused(
    x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec, bias: Float[Tensor, " k"], relu: bool
) -> Float[Tensor, "n k p q"]:
    return apart(partial(_cudnn.fused, x, w, spec, bias, relu=relu, benchmark=True))


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    return apart(partial(_cudnn.dgrad, dy, w, spec, benchmark=True))


@backend(
    devices={"cuda"},
    family="vendor",
    source="Chetlur et al. 2014 (cuDNN) through aten::cudnn_convolution and its transpose, benchmark=True",
    dgrad=dgrad,
    fused=fused,
    refuse=_cudnn.refuse,
    roundings=_cudnn.roundings,
    slow_start=True,
    nondeterministic=lambda case: True,  # noqa: ARG005  # the fastest plan may add by atomics
)
def cudnn_benchmark(
    x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec
) -> Float[Tensor, "n k p q"]:
    return apart(partial(_cudnn.fprop, x, w, spec, benchmark=True))
