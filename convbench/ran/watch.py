"""What did F.conv2d really run for a problem, by which rule, and did it build the patch matrix?

Everything is observed in a separate process (`witness`): torch's choice, the operators and allocations of its profiler,
oneDNN's log, the names of CUDA kernels. Each claim has its evidence, and conclusions are marked
as such.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from convbench.errors import first_line, one_line
from convbench.machine import child_nbytes, own_nbytes
from convbench.ran.chrome_trace import CallTrace, MemoryBlock
from convbench.ran.rules import Setting
from convbench.ran.seen import Ran
from convbench.ran.verbose import read_primitives, read_version
from convbench.spec import ConvSpec
from convbench.system import lacks

STARTUP_S = 120.0  # torch's import and the profiler's first start, on a machine that has other work
MACS_PER_S = 1e8  # of the slowest of torch's own loops

_HOME = str(Path(__file__).parents[2])  # the location of this package, in case it is not installed
_RUN = f"import sys; sys.path.append({_HOME!r}); from convbench.ran.witness import main; main()"


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
    axes = {"dtype": dtype, "layout": layout, "precision": precision, "device": device}
    calls = [Ran.blank(spec, **axes) for spec in specs]
    return watch(calls, threads=threads, onednn=onednn, timeout_s=timeout_s)


def watch(
    calls: Sequence[Ran],
    *,
    threads: int = 0,
    onednn: bool = True,
    timeout_s: float | None = None,
    run: bool = True,
    memory_nbytes: int | None = None,
) -> list[Ran]:
    """The same calls with what was seen of them: one child process for all, a few milliseconds for each.

    A call that crashes the child is unknown, and the next ones get a new child.

    Args:
        threads: CPU threads; 0 is torch's own choice.
        onednn: False switches oneDNN off, as torch.backends.mkldnn.enabled does.
        timeout_s: seconds for all; by default two minutes and what torch's slowest code takes.
        run: run each call; otherwise torch is only asked what it would select.
        memory_nbytes: of the child; by default what is free now, less a reserve, as bench has it.
    """
    if why := lacks("convbench ran"):
        return [replace(one, trouble=why) for one in calls]
    limit_s = STARTUP_S + sum(call.spec.macs for call in calls) / MACS_PER_S if timeout_s is None else timeout_s
    deadline = time.monotonic() + limit_s
    most_nbytes = child_nbytes() if memory_nbytes is None else memory_nbytes
    found: list[Ran] = []
    while len(found) < len(calls):
        rest = calls[len(found) :]
        output, ended = _ask_child(
            rest,
            {"threads": threads, "onednn": onednn, "run": run},
            timeout_s=deadline - time.monotonic(),
            memory_nbytes=most_nbytes,
        )
        version = read_version(output)  # said once, before the first primitive
        found += [_read_answer(one, answer, version) for one, answer in zip(rest, _split(output), strict=False)]
        rest = calls[len(found) :]
        if rest and ended == TOO_LATE:
            found += [replace(one, trouble=f"no answer within {limit_s:.3g} s") for one in rest]
        elif rest:
            found.append(replace(rest[0], trouble=f"the process that runs it {ended}"))
    return found


def glance(spec: ConvSpec, dtype: str = "fp32") -> Ran:
    """What can be seen on the CPU without a separate process, in milliseconds: everything except oneDNN's log."""
    from convbench.ran.witness import observe

    blank = replace(Ran.blank(spec, dtype=dtype), logged=False)
    try:
        return _read_answer(blank, (observe(blank.spec, dtype=dtype), ""))
    except RuntimeError as error:  # torch has no such call, or no memory for it
        return replace(blank, trouble=first_line(error))


TOO_LATE = "took too long"
POLL_S = 0.05  # for the memory of the child: a look takes a tenth of a millisecond


def _ask_child(
    calls: Sequence[Ran], how: Mapping[str, Any], *, timeout_s: float, memory_nbytes: int | None
) -> tuple[str, str]:
    """What the child wrote, and how it ended."""
    request = {
        **how,
        "calls": [
            {"spec": str(one.spec)} | {name: getattr(one, name) for name in ("dtype", "layout", "precision", "device")}
            for one in calls
        ],
    }
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        asked.write(json.dumps(request).encode())
        asked.seek(0)
        try:
            child = subprocess.Popen(  # noqa: S603  # our own module
                # -P: nothing is taken from the working directory.
                [sys.executable, "-P", "-c", _RUN],
                stdin=asked,
                stdout=out,
                stderr=err,
                env=os.environ | {"ONEDNN_VERBOSE": "1"},
            )
        except OSError as error:
            return "", f"could not be started ({error})"
        ended = _await(child, timeout_s, memory_nbytes)
        out.seek(0)
        err.seek(0)
        said = err.read().decode(errors="replace").strip().rpartition("\n")[2] if child.returncode > 0 else ""
        return out.read().decode(errors="replace"), f"{ended}{': ' if said else ''}{one_line(said, 200)}"


def _await(child: "subprocess.Popen[bytes]", timeout_s: float, memory_nbytes: int | None) -> str:
    """How it ended; it is ended where it takes too long or too much memory, or where this is interrupted."""
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                code = child.wait(timeout=max(0.0, min(POLL_S, deadline - time.monotonic())))
                return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            if memory_nbytes is not None and own_nbytes(child.pid) > memory_nbytes:
                return f"used more than {memory_nbytes / 2**30:.1f} GiB"
            if time.monotonic() >= deadline:
                return TOO_LATE
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def _split(output: str) -> Iterator[tuple[dict[str, Any], str]]:
    """For each answered problem: the answer, and the output before it since it began."""
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


def _read_trace(trace: Mapping[str, Any]) -> CallTrace:
    return CallTrace(
        operators=tuple(trace["operators"]),
        blocks=tuple(
            MemoryBlock(nbytes=one["nbytes"], operators=tuple(one["operators"]), kept=one["kept"])
            for one in trace["blocks"]
        ),
        peak_nbytes=trace["peak_nbytes"],
        kernels=tuple(trace["kernels"]),
    )
