"""What did F.conv2d really run for a problem, by which rule, and did it ever form the patch matrix?

Everything is seen in a process of its own (`witness`): torch's choice, the operators and allocations of its profiler,
oneDNN's log, the names of CUDA kernels. A claim stands beside what was asked and what was answered, and what is
concluded is told apart from what was seen.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from convbench.errors import first_line, one_line
from convbench.ran.chrome_trace import Block, Trace
from convbench.ran.claims import Claim, list_claims
from convbench.ran.kernels import Kernel, read_kernel
from convbench.ran.patches import LIBRARY, LOWERING, Patches, Use, account, find_patches
from convbench.ran.rules import Rule, Setting, apply_rule
from convbench.ran.verbose import Primitive, read_primitives, read_version
from convbench.spec import ITEM_NBYTES, ConvSpec
from convbench.system import lacks

# Operators that only one of torch's backends calls, and the backend's name in ATen.
BACKEND_OF = {
    "aten::mkldnn_convolution": "Mkldnn",
    "aten::_slow_conv2d_forward": "Slow2d",
    "aten::thnn_conv2d": "Slow2d",
    "aten::slow_conv_dilated2d": "SlowDilated2d",
    "aten::_nnpack_spatial_convolution": "NnpackSpatial",
    "aten::cudnn_convolution": "Cudnn",
    "aten::_conv_depthwise2d": "CudaDepthwise2d",
    "aten::miopen_convolution": "Miopen",
    "aten::miopen_depthwise_convolution": "MiopenDepthwise",
}
STARTUP_S = 120.0  # torch's import and the profiler's first start, on a machine that has other work
MACS_PER_S = 1e8  # of the slowest of torch's own loops

_HOME = str(Path(__file__).parents[2])  # where this package lies, should it not be installed
_RUN = f"import sys; sys.path.append({_HOME!r}); from convbench.ran.witness import main; main()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What was seen of one call, and, as properties, what follows.

    Attributes:
        setting: what torch's rule reads beside the problem; None where nothing was seen at all.
        selected: torch's own answer, as Slow2d; None where it gave none, and `selected_why` says why.
        trace: the profile of the call; None where there is none, and `trace_why` says why.
        cuda_peak_nbytes: by how much the call raised torch.cuda.max_memory_allocated; None on the CPU.
        primitives: what oneDNN logged, in its order.
        trouble: why the call was not seen.
    """

    spec: ConvSpec
    dtype: str
    layout: str
    precision: str
    device: str
    setting: Setting | None = None
    selected: str | None = None
    selected_why: str = ""
    trace: Trace | None = None
    trace_why: str = ""
    cuda_peak_nbytes: int | None = None
    primitives: tuple[Primitive, ...] = ()
    trouble: str = ""

    @property
    def operators(self) -> tuple[str, ...]:
        """Those of the profile that only one backend calls."""
        return tuple(one for one in (self.trace.operators if self.trace else ()) if one in BACKEND_OF)

    @property
    def backend(self) -> str | None:
        """torch's name for what ran: by the profile, which saw it, before torch's own answer to a question."""
        return BACKEND_OF[self.operators[0]] if self.operators else self.selected

    @property
    def name(self) -> str:
        """The backend as people call it, with oneDNN's primitive: `Slow2d`, `oneDNN jit:avx512_core`."""
        if self.backend is None:
            return "unknown"
        name = LIBRARY.get(self.backend, self.backend)
        return f"{name} {self.primitive.implementation}" if self.primitive else name

    @property
    def predicted(self) -> Rule | None:
        """What the rule as convbench knows it says."""
        if self.setting is None:
            return None
        return apply_rule(self.spec, dtype=self.dtype, layout=self.layout, device=self.device, setting=self.setting)

    @property
    def rule(self) -> Rule | None:
        """The rule, if it says what ran; None where it does not, or where nobody knows what ran."""
        predicted = self.predicted
        return predicted if predicted is not None and predicted.backend == self.backend else None

    @property
    def primitive(self) -> Primitive | None:
        """oneDNN's convolution."""
        return next((one for one in self.primitives if one.kind == "convolution"), None)

    @property
    def reorders(self) -> tuple[Primitive, ...]:
        """oneDNN's changes of layout."""
        return tuple(one for one in self.primitives if one.kind == "reorder")

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        return tuple(read_kernel(name) for name in (self.trace.kernels if self.trace else ()))

    @property
    def y_nbytes(self) -> int:
        return prod(self.spec.y_shape) * ITEM_NBYTES[self.dtype]

    @property
    def patches_nbytes(self) -> int:
        """What the patch matrix takes, N x C*R*S x P*Q."""
        return self.spec.patch_matrix_nbytes(self.dtype)

    @property
    def uses(self) -> tuple[Use, ...] | None:
        """Each block that torch's allocator gave out, by what it was for; None where nobody saw."""
        return None if self.trace is None else account(self, self.trace.blocks)

    @property
    def scratch_nbytes(self) -> int | None:
        """All blocks that are neither y, nor a copy of an operand or of y, nor the patch matrix."""
        uses = self.uses
        return None if uses is None else sum(use.nbytes * use.count for use in uses if use.what == "scratch")

    @property
    def patches(self) -> Patches:
        return find_patches(self)

    @property
    def sentence(self) -> str:
        """What ran, why, and what became of the patch matrix."""
        if self.backend is None:
            return f"unknown: {self.trouble or self.trace_why or self.selected_why}"
        why = self.rule.why if self.rule else "which rule chose it is unknown"
        return f"{self.name}: {why}; {self.patches.words}"

    @property
    def remark(self) -> str:
        """A line of the walk's last step: `ran (fp32): Slow2d; scratch 144 B = the patch matrix, so literal here`."""
        patches = self.patches
        match self.backend, patches.kind:
            case None, _:
                return ""
            case backend, "whole":
                words = f"{backend}; scratch {patches.nbytes:,} B = the patch matrix, so literal here"
            case backend, "pieces":
                times = "" if patches.count == 1 else f"{patches.count:,} x "
                words = f"{backend}; scratch {times}{patches.nbytes:,} B, the patch matrix in pieces"
            case backend, "x" if backend in LOWERING:
                words = f"{backend}; the patch matrix is x itself, so nothing was formed"
            case backend, _:
                words = f"{LIBRARY.get(backend, backend)}; --ran says how, and what became of the patch matrix"
        return f"ran ({self.dtype}): {words}"

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All that can be said, each with its evidence."""
        return list_claims(self)


def what_ran(
    specs: Sequence[ConvSpec],
    dtype: str = "fp32",
    *,
    layout: str = "nchw",
    precision: str = "ieee",
    device: str = "cpu",
    threads: int = 0,
    onednn: bool = True,
    timeout_s: float | None = None,
) -> list[Ran]:
    """What F.conv2d runs for each problem, in their order; see `watch` for the rest."""
    calls = [Ran(spec=spec, dtype=dtype, layout=layout, precision=precision, device=device) for spec in specs]
    return watch(calls, threads=threads, onednn=onednn, timeout_s=timeout_s)


def watch(calls: Sequence[Ran], *, threads: int = 0, onednn: bool = True, timeout_s: float | None = None) -> list[Ran]:
    """The same calls with what was seen of them: one child process for all, a few milliseconds for each.

    A call that crashes the child is unknown, and the next ones get a new child.

    Args:
        threads: CPU threads; 0 is torch's own choice.
        onednn: False switches oneDNN off, as torch.backends.mkldnn.enabled does.
        timeout_s: seconds for all; by default two minutes and what torch's slowest code takes.
    """
    if why := lacks("explain --ran"):
        return [replace(one, trouble=why) for one in calls]
    limit_s = STARTUP_S + sum(call.spec.macs for call in calls) / MACS_PER_S if timeout_s is None else timeout_s
    deadline = time.monotonic() + limit_s
    found: list[Ran] = []
    while len(found) < len(calls):
        rest = calls[len(found) :]
        output, ended = _ask_child(rest, threads=threads, onednn=onednn, timeout_s=deadline - time.monotonic())
        version = read_version(output)  # said once, before the first primitive
        found += [_read_answer(one, answer, version) for one, answer in zip(rest, _split(output), strict=False)]
        rest = calls[len(found) :]
        if rest and ended == TOO_LATE:
            found += [replace(one, trouble=f"no answer within {limit_s:.3g} s") for one in rest]
        elif rest:
            found.append(replace(rest[0], trouble=f"the process that should tell {ended}"))
    return found


def glance(spec: ConvSpec, dtype: str = "fp32") -> Ran:
    """What can be seen on the CPU without a process of its own, in milliseconds: all but oneDNN's log."""
    from convbench.ran.witness import observe

    blank = Ran(spec=spec, dtype=dtype, layout="nchw", precision="ieee", device="cpu")
    try:
        return _read_answer(blank, (observe(spec, dtype=dtype), ""))
    except RuntimeError as error:  # torch has no such call, or no memory for it
        return replace(blank, trouble=first_line(error))


TOO_LATE = "took too long"


def _ask_child(calls: Sequence[Ran], *, threads: int, onednn: bool, timeout_s: float) -> tuple[str, str]:
    """What the child wrote, and how it ended."""
    request = {
        "threads": threads,
        "onednn": onednn,
        "calls": [
            {"spec": str(one.spec)} | {name: getattr(one, name) for name in ("dtype", "layout", "precision", "device")}
            for one in calls
        ],
    }
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            done = subprocess.run(  # noqa: S603  # our own module
                # -P: nothing is taken from the working directory.
                [sys.executable, "-P", "-c", _RUN],
                input=json.dumps(request).encode(),
                stdout=out,
                stderr=err,
                env=os.environ | {"ONEDNN_VERBOSE": "1"},
                timeout=max(timeout_s, 0),
                check=False,
            )
            code = done.returncode
            ended = "was killed by signal" if code < 0 else "ended with code"
            ended += f" {abs(code)}"
        except subprocess.TimeoutExpired:
            code, ended = 0, TOO_LATE
        except OSError as error:
            code, ended = 0, f"could not be started ({error})"
        out.seek(0)
        err.seek(0)
        said = err.read().decode(errors="replace").strip().rpartition("\n")[2] if code else ""
        return out.read().decode(errors="replace"), f"{ended}{': ' if said else ''}{one_line(said, 200)}"


def _split(output: str) -> Iterator[tuple[dict[str, Any], str]]:
    """For each problem that was answered: the answer, and what stood before it since it began."""
    for part in output.split("\nconvbench-begin ")[1:]:
        log, seen, answer = part.partition("\nconvbench-seen ")
        if not seen:
            return
        try:
            yield json.loads(answer.partition("\n")[0]), log
        except json.JSONDecodeError:  # it ended in the middle of its answer
            return


def _read_answer(blank: Ran, answered: tuple[dict[str, Any], str], onednn: str = "") -> Ran:
    seen, log = answered
    setting = Setting(**seen["setting"])
    primitives = read_primitives(log)
    if primitives and onednn:
        setting = replace(setting, library=f"oneDNN {onednn}")
    trace = seen["trace"]
    return replace(
        blank,
        setting=setting,
        selected=seen["selected"],
        selected_why=seen["selected_why"],
        trace=None if trace is None else _read_trace(trace),
        trace_why=seen["trace_why"],
        cuda_peak_nbytes=seen["cuda_peak_nbytes"],
        primitives=primitives,
    )


def _read_trace(trace: Mapping[str, Any]) -> Trace:
    return Trace(
        operators=tuple(trace["operators"]),
        blocks=tuple(
            Block(nbytes=one["nbytes"], operators=tuple(one["operators"]), kept=one["kept"]) for one in trace["blocks"]
        ),
        peak_nbytes=trace["peak_nbytes"],
        kernels=tuple(trace["kernels"]),
    )
