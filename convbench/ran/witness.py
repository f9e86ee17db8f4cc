"""What does one process see of its own convolutions?

Run in a fresh process: oneDNN reads ONEDNN_VERBOSE once, before its first primitive, and what it then writes would
mix with the parent's output. Its lines and this module's go to one stdout, in the order of events.
"""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convbench.call.tensors import TORCH_DTYPE, arithmetic, lay_out
from convbench.device import find_device
from convbench.environment import quieten_profiler
from convbench.ran.by_torch import convolve
from convbench.ran.chrome_trace import CALL, CallTrace, read_trace
from convbench.ran.rules import Setting
from convbench.spec import ConvSpec
from convbench.system import libc

quieten_profiler()

NOT_RUN = "it was not run"
BEGIN, SEEN = "convbench-begin ", "convbench-seen "


PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def main() -> None:
    """Answer the request on stdin: for each of its calls a line when it begins and one with what was seen."""
    if (c := libc()) is not None and hasattr(
        c, "prctl"
    ):  # Linux; the parent may be killed, and nothing else would end us
        c.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    request = json.load(sys.stdin)
    if request["threads"]:
        torch.set_num_threads(request["threads"])
    for number, asked in enumerate(request["calls"]):
        _say(f"{BEGIN}{number}")
        spec = ConvSpec.parse(asked.pop("spec"))
        _say(SEEN + json.dumps(observe(spec, **asked, onednn=request["onednn"], run=request["run"])))


def _say(line: str) -> None:
    """After all that C code has written."""
    if (c := libc()) is not None:
        c.fflush(None)
    os.write(1, f"\n{line}\n".encode())


def observe(
    spec: ConvSpec,
    *,
    dtype: str = "fp32",
    layout: str = "nchw",
    precision: str = "ieee",
    device: str = "cpu",
    onednn: bool = True,
    run: bool = True,
) -> dict[str, Any]:
    """One call of F.conv2d on zeros, without gradients: the setting, what torch selects, and the profile.

    Without `run` there is no call and no profile, and the operands have memory of no number.

    What cannot be found out is None, and `selected_why` or `trace_why` says why.
    """
    where = find_device(device)
    with where.selected(), torch.no_grad(), arithmetic(precision), _onednn(on=onednn):
        seen: dict[str, Any] = {"setting": asdict(read_setting(device))}
        shapes = (spec.x_shape, spec.w_shape)
        if not run:
            x, w = (_unwritten(shape, dtype, layout, where.torch_name) for shape in shapes)
            seen["selected"], seen["selected_why"] = select(x, w, spec)
            return seen | {"trace": None, "trace_why": NOT_RUN, "cuda_peak_nbytes": None}
        x, w = (
            lay_out(torch.zeros(shape, dtype=TORCH_DTYPE[dtype], device=where.torch_name), layout) for shape in shapes
        )
        seen["selected"], seen["selected_why"] = select(x, w, spec)
        try:
            trace, seen["cuda_peak_nbytes"] = profile(x, w, spec, device)
            seen["trace"], seen["trace_why"] = asdict(trace), ""
        except ValueError as error:
            seen["trace"], seen["trace_why"], seen["cuda_peak_nbytes"] = None, str(error), None
        return seen


def _unwritten(shape: Sequence[int], dtype: str, layout: str, device: str) -> Tensor:
    """A tensor that is never written, so no memory is taken: torch's choice reads sizes and strides alone."""
    strides = lay_out(torch.empty(tuple(shape), dtype=TORCH_DTYPE[dtype], device="meta"), layout).stride()
    return torch.empty_strided(tuple(shape), strides, dtype=TORCH_DTYPE[dtype], device=device)


@contextmanager
def _onednn(*, on: bool) -> Iterator[None]:
    before = torch._C._get_mkldnn_enabled()  # noqa: SLF001  # the public switch warns in some releases
    torch._C._set_mkldnn_enabled(before and on)  # noqa: SLF001
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)  # noqa: SLF001


def read_setting(device: str) -> Setting:
    """What torch's rule reads besides the problem, on this machine and in this process."""
    here = {
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "onednn": torch.backends.mkldnn.is_available() and torch._C._get_mkldnn_enabled(),  # noqa: SLF001
        "nnpack": torch.backends.nnpack.is_available(),
    }
    if not find_device(device).on_host:
        return Setting(
            **here,
            library=f"cuDNN {torch.backends.cudnn.version()}" if torch.backends.cudnn.is_available() else "",
            cudnn=torch.backends.cudnn.is_available() and torch._C._get_cudnn_enabled(),  # noqa: SLF001
            machine=find_device(device).facts()["gpu"],
        )
    return Setting(
        **here,
        onednn_bf16=_has("_is_mkldnn_bf16_supported"),
        onednn_fp16=_has("_is_mkldnn_fp16_supported"),
        machine=torch.backends.cpu.get_cpu_capability(),
    )


def _has(name: str) -> bool:
    """What torch answers to a question that has no public name; no where it no longer has that one."""
    try:
        return bool(getattr(torch.ops.mkldnn, name)())
    except (AttributeError, RuntimeError):
        return False


def select(x: Tensor, w: Tensor, spec: ConvSpec) -> tuple[str | None, str]:
    """The name that torch._C._select_conv_backend gives, or None and why there is none."""
    try:
        chosen = torch._C._select_conv_backend(  # noqa: SLF001  # there is no public name for the question
            x, w, None, spec.stride, spec.padding, spec.dilation, False, (0, 0), spec.groups
        )
    except (AttributeError, TypeError, RuntimeError) as error:
        return None, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    name = str(getattr(chosen, "name", "")).strip(",")
    # An enumerator that pybind11 has no name for prints as ???.
    return (name, "") if name.isidentifier() else (None, f"a value without a name, {chosen}")


def profile(x: Tensor, w: Tensor, spec: ConvSpec, device: str) -> tuple[CallTrace, int | None]:
    """The profile of one call, and by how much it raised the peak of a GPU's memory, in bytes.

    On a GPU it is the second call, when cuDNN has chosen and loaded its kernel.

    Raises:
        ValueError: the profiler wrote none that can be read.
    """
    where = find_device(device)
    if not where.on_host:
        convolve(x, w, spec)
    peak_nbytes = (lambda: None) if where.on_host else where.watch_peak()
    # torch.profiler.profile would do the same, and import torch._inductor first: seconds.
    with torch.autograd.profiler.profile(
        use_device=None if where.on_host else where.kind, profile_memory=True
    ) as recorded:
        with torch.autograd.profiler.record_function(CALL):
            y = convolve(x, w, spec)
        where.synchronize()
    peak = peak_nbytes()
    del y
    with tempfile.TemporaryDirectory(prefix="convbench-ran-") as folder:
        path = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(path))
        try:
            content = json.loads(path.read_bytes())
        except OSError as error:
            raise ValueError(f"the profiler wrote no trace ({error})") from None
    events: Sequence[Mapping[str, Any]] = content.get("traceEvents", [])
    return read_trace(events, device=device), peak


if __name__ == "__main__":
    main()
