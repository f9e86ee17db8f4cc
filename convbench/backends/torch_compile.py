"""torch.compile: inductor with max-autotune and frozen weights, one fresh compilation per case."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import FunctionType, MethodType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from convbench.backend import backend
from convbench.case import Case
from convbench.device.host import cpus_allowed
from convbench.spec import ConvSpec

Run = Callable[[Tensor], Tensor]


def refuse(case: Case) -> str | None:
    if not case.target.on_host and not find_spec("triton"):
        return "torch.compile generates GPU code with triton, which is not installed"
    if why := lacks_compiler():
        return why
    start_inductor()
    return None


def lacks_compiler() -> str:
    """Why inductor cannot compile for a CPU here, or ""."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "torch.compile needs a C++ compiler (g++, or the one in CXX), and this machine has none"
    return ""


@cache
def start_inductor() -> None:
    """What inductor does once a process, seconds of it, so it is on no case's bill."""
    # Importing this starts a pool of compiler processes, which would be busy while the next backend is timed.
    with import_module("torch._inductor.config").patch(compile_threads=1):
        import_module("torch._inductor.compile_fx")
        import_module("torch._inductor.async_compile")
    import_module("torch._inductor.cpu_vec_isa").pick_vec_isa()  # by compiling small programs


def compiled(w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Run:
    """A layer at inference, to be compiled by its first call: the code is made for x's own strides.

    Freezing folds the weight into the code, in any layout that the code needs.
    """
    layer = nn.Conv2d(
        spec.c,
        spec.k,
        (spec.r, spec.s),
        spec.stride,
        spec.padding,
        spec.dilation,
        spec.groups,
        bias=False,
        device="meta",
    )
    layer.weight = nn.Parameter(w, requires_grad=False)
    # Dynamo counts compilations by the code object of a function and falls back to eager mode at the
    # eighth, so each case has one of its own; under torch's file name it would be wrapped in a shared one.
    forward = nn.Conv2d.forward
    code = forward.__code__.replace(co_name=f"forward_{spec}", co_filename=__file__)
    own = FunctionType(code, forward.__globals__)
    options = {
        **torch._inductor.list_mode_options("max-autotune-no-cudagraphs"),  # noqa: SLF001  # a mode goes with no options
        "freezing": True,
        # A bill that hangs on what an earlier process left on the disk is none.
        "force_disable_caches": True,
        # On a CPU the compilers would still be busy while the next backend is timed.
        "compile_threads": cpus_allowed() if w.is_cuda else 1,
    }
    return torch.compile(MethodType(own, layer.eval()), dynamic=False, options=options)


@backend(
    family="vendor",
    source="torch.compile (Ansel et al. 2024, PyTorch 2)",
    prepare=compiled,
    refuse=refuse,
    slow_start=True,
    on_request=True,  # seconds a case, and verify has 480 of them
)
def torch_compile(
    x: Float[Tensor, "n c h w"],
    layer: Run,
    spec: ConvSpec,  # noqa: ARG001  # the layer was made for it
) -> Float[Tensor, "n k p q"]:
    return layer(x)
