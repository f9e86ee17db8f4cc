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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from convbench.errors import first_line, one_line
from convbench.explain.kernels import Kernel, read_kernel
from convbench.explain.rules import Rule, Setting, apply_rule
from convbench.explain.trace import Block, Trace
from convbench.explain.verbose import Primitive, name_layout, read_primitives, read_version, reorder_nbytes
from convbench.spec import ITEM_NBYTES, ConvSpec

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
LIBRARY = {"Mkldnn": "oneDNN", "NnpackSpatial": "NNPACK", "Cudnn": "cuDNN", "Miopen": "MIOpen"}
# Those that lower the convolution to a matrix product over a patch matrix of their own.
LOWERING = ("Slow2d", "SlowDilated2d")
PATCH_SIZED = "patch-sized"  # a block of exactly the bytes of the patch matrix, or of a group's or an image's part
CUDA_ROUNDING = 512  # c10's CUDACachingAllocator, kMinBlockSize: it gives out multiples

STARTUP_S = 120.0  # torch's import and the profiler's first start, on a machine that has other work
MACS_PER_S = 1e8  # of the slowest of torch's own loops

_HOME = str(Path(__file__).parents[2])  # where this package lies, should it not be installed
_RUN = f"import sys; sys.path.append({_HOME!r}); from convbench.explain.witness import main; main()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was asked, and what was answered."""

    asked: str
    answered: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing said of a call.

    Attributes:
        about: backend, rule, primitive, layouts, memory, patch matrix, kernels.
        words: a sentence.
        kind: "fact" was seen; "inference" follows from what was seen and from what is known of the library;
            "unknown" could not be found out.
    """

    about: str
    words: str
    kind: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Blocks of one size that torch's allocator gave out for one thing: `y`, `patch-sized`, `scratch`, ..."""

    what: str
    nbytes: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """What became of the patch matrix.

    Attributes:
        kind: "whole" was formed at once; "pieces" one after another, each `nbytes`; "tiles" smaller than an image's,
            in a library's scratch; "room" for all of it was in a library's scratch; "x" is the patch matrix itself;
            "none" had room anywhere; "empty": there is none; "unknown".
        nbytes: of the piece, or of the scratch.
        count: of the pieces.
        words: a sentence.
        certain: whether it was seen; else it follows from what is known of the library.
    """

    kind: str
    words: str
    nbytes: int = 0
    count: int = 0
    certain: bool = True


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
        return None if self.trace is None else _account(self, self.trace.blocks)

    @property
    def scratch_nbytes(self) -> int | None:
        """All blocks that are neither y, nor a copy of an operand or of y, nor the patch matrix."""
        uses = self.uses
        return None if uses is None else sum(use.nbytes * use.count for use in uses if use.what == "scratch")

    @property
    def patches(self) -> Patches:
        return _find_patches(self)

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
        if self.trouble:
            asked = "a fresh process, what it sees of this call"
            evidence = (Evidence(asked=asked, answered=self.trouble),)
            return (Claim(about="backend", words="what ran is unknown", kind="unknown", evidence=evidence),)
        found = [_backend_claim(self), _rule_claim(self)]
        if self.backend == "Mkldnn":
            found += [_primitive_claim(self), *_layout_claim(self)]
        if self.kernels:
            found += _kernel_claims(self)
        return (*found, _memory_claim(self), _patches_claim(self))


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
    from convbench.explain.witness import observe

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


# Memory: every block is y, a copy of something in another layout, the patch matrix, or scratch.


def _account(ran: Ran, blocks: Sequence[Block]) -> tuple[Use, ...]:
    spec, left, uses = ran.spec, list(blocks), list[tuple[str, int]]()

    def take(what: str, nbytes: int) -> bool:
        """Take the last block of that size out; the last, since y is what a call ends with."""
        sizes = {nbytes, -(-nbytes // CUDA_ROUNDING) * CUDA_ROUNDING if ran.device == "cuda" else nbytes}
        for block in reversed(left):
            if block.nbytes in sizes:
                left.remove(block)
                uses.append((what, block.nbytes))
                return True
        return False

    for block in [one for one in left if {"aten::contiguous", "aten::clone"} & set(one.operators)]:
        left.remove(block)
        uses.append(("copy of an operand", block.nbytes))
    take("y", ran.y_nbytes)
    if ran.backend in (*LOWERING, "NnpackSpatial") and spec.groups > 1:
        for _ in range(spec.groups):
            take("y of a group", ran.y_nbytes // spec.groups)
    for what, nbytes in _onednn_copies(ran):
        take(what, nbytes)
    if ran.backend in LOWERING:
        for nbytes in _piece_sizes(ran):
            while take(PATCH_SIZED, nbytes):
                pass
    uses += [("scratch", block.nbytes) for block in left]
    return tuple(
        Use(what=what, nbytes=nbytes, count=count)
        for (what, nbytes), count in sorted(Counter(uses).items(), key=lambda one: _ORDER.index(one[0][0].split()[0]))
    )


_ORDER = ["y", PATCH_SIZED, "scratch", "copy", "x", "w"]


def _piece_sizes(ran: Ran) -> list[int]:
    """Bytes of the patch matrix, of one group's, of one image's, of one group's of one image, each once."""
    spec, whole = ran.spec, ran.patches_nbytes
    return list(dict.fromkeys([whole, whole // spec.groups, whole // spec.n, whole // (spec.n * spec.groups)]))


def _onednn_copies(ran: Ran) -> Iterator[tuple[str, int]]:
    """What oneDNN's reorders wrote before the convolution and read after it, which is memory of its own."""
    after = False
    for one in ran.primitives:
        if one.kind == "convolution":
            after = True
        nbytes = reorder_nbytes(one, after=after) if one.kind == "reorder" else None
        memory = one.memory("src" if after else "dst")
        if nbytes is None or memory is None:
            continue
        sizes = one.sizes.split("x")
        is_w = not after and [int(size) for size in sizes] != list(ran.spec.x_shape)
        yield f"{'y' if after else 'w' if is_w else 'x'} as {memory.tag}", nbytes


def _find_patches(ran: Ran) -> Patches:
    spec, whole = ran.spec, ran.patches_nbytes
    uses = ran.uses
    if spec.n == 0:
        return Patches(kind="empty", words="there is no patch matrix")
    if uses is None or ran.backend is None:
        return Patches(kind="unknown", words="whether it formed the patch matrix is unknown", certain=False)
    would = f"{_size(whole, ran.dtype)}"
    formed = [use for use in uses if use.what == PATCH_SIZED]
    if formed:
        use = formed[0]
        if use.nbytes == whole:
            words = f"it formed the patch matrix ({would})"
            return Patches(kind="whole", words=words, nbytes=whole, count=1, certain=False)
        each = "group" if use.count == spec.groups and use.nbytes * spec.groups == whole else "image"
        if spec.groups > 1 and use.nbytes * spec.groups * spec.n == whole and spec.n > 1:
            each = "group of an image"
        words = f"it formed the patch matrix one {each} at a time, in {_blocks(use)} (all of it: {would})"
        return Patches(kind="pieces", words=words, nbytes=use.nbytes, count=use.count, certain=False)
    if (spec.r, spec.s) == (1, 1) and spec.stride == (1, 1) and spec.padding == (0, 0):
        words = "the patch matrix of a 1x1 kernel with stride 1 is x itself, and nothing was formed"
        return Patches(kind="x", words=words, certain=ran.backend in LOWERING)
    scratch = ran.scratch_nbytes or 0
    if not _counts_scratch(ran):
        library = LIBRARY.get(ran.backend, ran.backend)
        words = f"whether it formed the patch matrix ({would}) is unknown: {library}'s own memory is not counted"
        return Patches(kind="unknown", words=words, certain=False)
    lowers = ran.primitive is not None and "gemm" in ran.primitive.implementation
    if scratch < whole and lowers and scratch:
        part = f"a scratch of {scratch:,} B, {100 * scratch / whole:.2g} % of it"
        words = f"it formed the patch matrix ({would}) in tiles, within {part}"
        # That a gemm reads patches is known of oneDNN, and not seen.
        return Patches(kind="tiles", words=words, nbytes=scratch, certain=False)
    if scratch < whole:
        beside = f"{scratch:,} B" if scratch else "nothing"
        words = f"it formed no patch matrix: that would be {would}, and {beside} was allocated beside {_beside(uses)}"
        return Patches(kind="none", words=words, nbytes=scratch)
    if lowers:
        words = f"it formed the patch matrix ({would}) in its scratch of {scratch:,} B, where there is room for all"
        return Patches(kind="room", words=words, nbytes=scratch, certain=False)
    words = f"whether it formed the patch matrix ({would}) is unknown: its scratch of {scratch:,} B has room for it"
    return Patches(kind="unknown", words=words, nbytes=scratch, certain=False)


def _counts_scratch(ran: Ran) -> bool:
    """Whether all the memory in which a patch matrix could stand comes from torch's allocator."""
    if ran.backend == "Mkldnn":
        return ran.primitive is not None and ran.primitive.own_scratch
    return ran.backend in (*LOWERING, "Cudnn", "CudaDepthwise2d")


def _beside(uses: Sequence[Use]) -> str:
    copies = any(use.what not in ("y", "scratch") for use in uses)
    return "y and copies in other layouts" if copies else "y"


def _size(nbytes: int, dtype: str) -> str:
    """`144 B = 36 floats`."""
    numbers = nbytes // ITEM_NBYTES[dtype]
    return f"{nbytes:,} B = {numbers:,} {'floats' if dtype == 'fp32' else f'numbers of {dtype}'}"


def _blocks(use: Use) -> str:
    return f"{use.nbytes:,} B" if use.count == 1 else f"{use.count:,} blocks of {use.nbytes:,} B"


# Claims.

_SELECT = "torch._C._select_conv_backend(x, w, ...)"
_PROFILE = "torch's profiler: operators of the call"
_ALLOCATOR = "torch's profiler: what its allocator gave out during the call"
_LOG = "ONEDNN_VERBOSE=1"


def _backend_claim(ran: Ran) -> Claim:
    evidence = [
        Evidence(asked=_SELECT, answered=ran.selected or ran.selected_why),
        Evidence(asked=_PROFILE, answered=_listed(ran.operators) if ran.trace else ran.trace_why),
    ]
    if ran.backend is None:
        return Claim(about="backend", words="which backend ran is unknown", kind="unknown", evidence=tuple(evidence))
    library = LIBRARY.get(ran.backend)
    words = f"torch ran {ran.backend}{f', that is {library}' if library else ''}"
    if not ran.operators and ran.spec.n:
        words = f"torch says it runs {ran.backend}; no operator that only it calls was seen"
    elif ran.selected not in (None, ran.backend):
        words += f", though it says that it selects {ran.selected}"
    seen = bool(ran.operators) or ran.spec.n == 0
    return Claim(about="backend", words=words, kind="fact" if seen else "inference", evidence=tuple(evidence))


def _rule_claim(ran: Ran) -> Claim:
    rule, predicted = ran.rule, ran.predicted
    said = "nothing" if predicted is None else predicted.backend if rule else f"{predicted.backend}: {predicted.why}"
    evidence = (
        Evidence(asked="the rule of ATen's Convolution.cpp, with these numbers", answered=said),
        Evidence(asked="what ran", answered=ran.backend or "unknown"),
    )
    if rule is not None:
        return Claim(about="rule", words=rule.why, kind="inference", evidence=evidence)
    words = "which rule chose it is unknown: the rule as convbench knows it says otherwise"
    return Claim(about="rule", words=words, kind="unknown", evidence=evidence)


def _primitive_claim(ran: Ran) -> Claim:
    one = ran.primitive
    if one is None:
        words = "which primitive of oneDNN ran is unknown: its log names none"
        answered = f"{len(ran.primitives)} lines, none of a convolution"
        return Claim(
            about="primitive", words=words, kind="unknown", evidence=(Evidence(asked=_LOG, answered=answered),)
        )
    words = f"oneDNN ran {one.implementation}, algorithm {one.algorithm or 'not named'}"
    return Claim(about="primitive", words=words, kind="fact", evidence=(Evidence(asked=_LOG, answered=one.line),))


def _layout_claim(ran: Ran) -> Iterator[Claim]:
    one = ran.primitive
    if one is None:
        return
    named = {"src": "x", "wei": "w", "dst": "y"}
    layouts = [
        f"{name} {name_layout(memory)} ({memory.tag})"
        for key, name in named.items()
        if (memory := one.memory(key)) is not None
    ]
    count = len(ran.reorders)
    moved = f"{count} reorder{'' if count == 1 else 's'}" if count else "no reorder"
    answered = ", ".join(
        f"{src.tag if src else '?'} to {dst.tag if dst else '?'} of {reorder.sizes} by {reorder.implementation}"
        for reorder in ran.reorders
        for src, dst in [(reorder.memory("src"), reorder.memory("dst"))]
    )
    yield Claim(
        about="layouts",
        words=f"{', '.join(layouts)}; {moved} to get there and back",
        kind="fact",
        evidence=(Evidence(asked=f"{_LOG}, its reorders", answered=answered or "none"),),
    )


def _kernel_claims(ran: Ran) -> list[Claim]:
    kernels = ran.kernels
    evidence = tuple(Evidence(asked="torch's profiler: kernels on the device", answered=one.name) for one in kernels)
    claims = [
        Claim(
            about="kernels",
            words=", then ".join(f"{one.short} ({one.role})" for one in kernels),
            kind="fact",
            evidence=evidence,
        )
    ]
    read = [" in ".join(word for word in (one.algorithm, one.arithmetic) if word) for one in kernels if one.algorithm]
    named = tuple(Evidence(asked="a name", answered=one.short) for one in kernels if one.algorithm)
    claims.append(
        Claim(
            about="algorithm",
            words=f"by their names: {', '.join(read)}" if read else "the names do not say which algorithm it is",
            kind="inference" if read else "unknown",
            evidence=named or evidence,
        )
    )
    return claims


def _memory_claim(ran: Ran) -> Claim:
    uses, trace = ran.uses, ran.trace
    if uses is None or trace is None:
        why = (Evidence(asked=_ALLOCATOR, answered=ran.trace_why),)
        return Claim(about="memory", words="what it allocated is unknown", kind="unknown", evidence=why)
    parts = [f"{use.what} {_blocks(use)}" for use in uses]
    blocks = [f"{block.nbytes:,} B" for block in trace.blocks]
    words = f"{', '.join(parts) or 'nothing'}; at most {trace.peak_nbytes:,} B at once"
    evidence = [Evidence(asked=_ALLOCATOR, answered=_listed(blocks))]
    if ran.cuda_peak_nbytes is not None:
        asked = "torch.cuda.max_memory_allocated(), above what was allocated before the call"
        evidence.append(Evidence(asked=asked, answered=f"{ran.cuda_peak_nbytes:,} B"))
    return Claim(about="memory", words=words, kind="fact", evidence=tuple(evidence))


def _patches_claim(ran: Ran) -> Claim:
    patches = ran.patches
    kind = "unknown" if patches.kind == "unknown" else "fact" if patches.certain else "inference"
    scratch = ran.scratch_nbytes
    evidence = [
        Evidence(
            asked="N*C*R*S*P*Q numbers",
            answered=f"{ran.patches_nbytes:,} B; y has {ran.y_nbytes:,} B",
        ),
        Evidence(asked=_ALLOCATOR, answered=ran.trace_why if scratch is None else f"{scratch:,} B of scratch"),
    ]
    if patches.kind in ("whole", "pieces"):
        # Of blocks their size is seen, and not what stands in them.
        block = f"{patches.nbytes:,} B" if patches.count == 1 else f"{patches.count:,} x {patches.nbytes:,} B"
        evidence[1] = Evidence(asked=f"{_ALLOCATOR}, within {ran.operators[-1]}", answered=block)
    if patches.kind in ("tiles", "room") and ran.primitive is not None:
        evidence.append(Evidence(asked=f"{_LOG}, implementation", answered=ran.primitive.implementation))
    return Claim(about="patch matrix", words=patches.words, kind=kind, evidence=tuple(evidence))


def _listed(words: Sequence[str], most: int = 8) -> str:
    shown = list(words[:most])
    if len(words) > most:
        shown.append(f"... {len(words) - most} more")
    return ", ".join(shown) or "none"
