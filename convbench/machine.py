"""What machine is this, which versions are installed, and how much memory is free?"""

import hashlib
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from convbench.device import find_device
from convbench.device.host import cpus_allowed
from convbench.system import output_of
from convbench.version import installed_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything about the machine that a measurement depends on and a report must state."""

    machine: str
    cpu: str
    gpu: str
    driver: str
    python: str
    torch: str
    cuda: str
    cudnn: str
    onednn: str
    convbench: str
    commit: str

    def columns(self) -> dict[str, str]:
        return asdict(self)


def this_machine(device: str = "cpu") -> Machine:
    """The facts of this machine, with those of a device that is an accelerator."""
    import torch

    facts = find_device(device).facts()
    return Machine(
        machine=os.environ.get("CONVBENCH_MACHINE") or platform.node(),
        cpu=cpu_name(),
        gpu=facts.get("gpu", ""),
        driver=facts.get("driver", ""),
        python=platform.python_version(),
        torch=str(torch.__version__),
        cuda=facts.get("cuda", ""),
        cudnn=facts.get("cudnn", ""),
        onednn=_onednn_version(torch.__config__.show()),
        convbench=installed_version(),
        commit=commit(),
    )


def cpu_name() -> str:
    """Model, family and cores: many virtual machines use one name for every model."""
    facts = _cpu_facts()
    name = facts.get("model name") or platform.processor() or platform.machine()
    detail = f" (family {facts['cpu family']} model {facts['model']})" if "cpu family" in facts else ""
    return f"{name}{detail}, {os.cpu_count()} cores"


def is_virtual() -> bool | None:
    """Whether this machine runs under a hypervisor; None if unknown (only x86 processors report it)."""
    flags = _cpu_facts().get("flags")
    return None if flags is None else "hypervisor" in flags.split()


def _cpu_facts(path: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """What Linux reports about the first CPU: proc(5), /proc/cpuinfo."""
    facts: dict[str, str] = {}
    with suppress(OSError):
        for line in path.read_text().splitlines():
            key, colon, value = line.partition(":")
            if colon:
                facts.setdefault(key.strip(), value.strip())
    return facts


def fingerprint(device: str, threads: int) -> dict[str, str]:
    """What a ceiling depends on: if one of these differs, it is another machine.

    The host's name is not included: a container has a new one each time it starts.
    """
    import numpy as np
    import torch

    facts = {
        "device": device,
        "cpu": cpu_name(),
        "cpu_flags": _cpu_flags(),
        "cpus_allowed": str(cpus_allowed()),
        "cpu_quota": "" if (quota := cpu_quota()) is None else f"{quota:g}",
        "torch": str(torch.__version__),
    }
    where = find_device(device)
    if not where.on_host:
        return facts | where.facts()
    return facts | {"numpy": np.__version__, "threads": str(threads)}


def commit() -> str:
    """The commit of the source tree this runs from, followed by "+" if files differ from it."""
    tree = Path(__file__).parent.parent
    if not (tree / ".git").exists():  # installed: the version says what it is
        return ""
    head = output_of("git", "-C", str(tree), "rev-parse", "--short=12", "HEAD")
    changed = output_of("git", "-C", str(tree), "status", "--porcelain", "--untracked-files=no", "--", "convbench")
    return head + ("+" if changed else "")


def free_nbytes(device: str) -> int | None:
    """Bytes that can still be allocated on a device, or None if unknown."""
    return find_device(device).free_nbytes()


RESERVE = 0.1  # share of the free memory that the parent, the caches and the rest keep


def child_nbytes() -> int | None:
    """What a process that we start may use of this machine's memory: what is free, less a reserve; None if unknown."""
    free = free_nbytes("cpu")
    return None if free is None else int(free * (1 - RESERVE))


def _cpu_flags() -> str:
    """The instruction sets and the microcode as a short hash: a hypervisor hides some of them."""
    lines = []
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.partition(":")[0].strip() in ("flags", "Features", "microcode"):
                lines.append(line)
            elif not line.strip() and lines:
                break  # the other CPUs are alike
    except OSError:
        pass
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def cpu_quota() -> float | None:
    """The CPU limit of a container, in cores (cgroup v2, cpu.max); None without a limit."""
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    return None


def held_nbytes(pid: int) -> int:
    """Bytes of private memory of a process and all its descendants; 0 if unknown.

    Pages of files are not included: the kernel can reclaim them, and libraries are
    shared by all their users.
    """
    return sum(map(own_nbytes, [pid, *descendants(pid)]))


def own_nbytes(pid: int) -> int:
    """`held_nbytes` of a single process."""
    kilobytes = 0
    with suppress(OSError, ValueError):  # it has just ended
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                kilobytes += int(line.split()[1])
    return kilobytes * 1024


def descendants(pid: int, most: int = 100_000) -> list[int]:
    """All descendants of a process; the search stops when `most` are found."""
    found = [pid]
    for one in found:  # it grows meanwhile
        if len(found) > most:
            break
        found += children(one)
    return found[1:]


def children(pid: int) -> list[int]:
    """The child processes that a process has not yet waited for."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError, ValueError):  # a thread may have ended meanwhile
            found += map(int, path.read_text().split())
    return found


def _onednn_version(config: str) -> str:
    for line in config.splitlines():
        if "MKL-DNN" in line or "oneDNN" in line:
            return next(
                (word.removeprefix("v") for word in line.split() if word[:1] == "v" and word[1:2].isdigit()), ""
            )
    return ""
