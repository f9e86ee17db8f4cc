"""What machine is this, which versions are installed, and how much memory is free?"""

import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything about the machine that a measurement depends on and a report must name."""

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
    """The facts of this machine; those of the GPU only where `device` is cuda."""
    import torch

    from convbench import __version__

    on_gpu = device == "cuda"
    return Machine(
        machine=os.environ.get("CONVBENCH_MACHINE") or platform.node(),
        cpu=cpu_name(),
        gpu=torch.cuda.get_device_name() if on_gpu else "",
        driver=driver_version() if on_gpu else "",
        python=platform.python_version(),
        torch=str(torch.__version__),
        cuda=str(torch.version.cuda or "") if on_gpu else "",
        cudnn=str(torch.backends.cudnn.version() or "") if on_gpu else "",
        onednn=_onednn_version(torch.__config__.show()),
        convbench=__version__,
        commit=commit(),
    )


def cpu_name() -> str:
    """Model, family and cores: many virtual machines call every model by one name."""
    facts: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, colon, value = line.partition(":")
            if colon:
                facts.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    name = facts.get("model name") or platform.processor() or platform.machine()
    detail = f" (family {facts['cpu family']} model {facts['model']})" if "cpu family" in facts else ""
    return f"{name}{detail}, {os.cpu_count()} cores"


def driver_version() -> str:
    """The NVIDIA driver's version, empty where it cannot be told."""
    try:
        return Path("/sys/module/nvidia/version").read_text().strip()
    except OSError:
        return _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").partition("\n")[0]


def commit() -> str:
    """The commit of the source tree this runs from, "+" after it when files differ from it."""
    tree = Path(__file__).parent.parent
    if not (tree / ".git").exists():  # installed: the version says what it is
        return ""
    head = _output("git", "-C", str(tree), "rev-parse", "--short=12", "HEAD")
    changed = _output("git", "-C", str(tree), "status", "--porcelain", "--untracked-files=no", "--", "convbench")
    return head + ("+" if changed else "")


def free_nbytes(device: str) -> int | None:
    """Bytes that can still be allocated, or None where the system does not say."""
    if device == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info()
        return int(free) + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    limits = [nbytes for nbytes in (_available_nbytes(), _cgroup_nbytes()) if nbytes is not None]
    return min(limits, default=None)


def held_nbytes(pid: int) -> int:
    """Bytes of memory that a process and its children hold for themselves; 0 where the system does not say.

    Pages of files are left out: the kernel takes them back when it needs them, and libraries are
    shared by all who use them.
    """
    kilobytes = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                kilobytes += int(line.split()[1])
    except (OSError, ValueError):  # it has just ended
        return 0
    return kilobytes * 1024 + sum(map(held_nbytes, children(pid)))


def children(pid: int) -> list[int]:
    """The processes that a process has started and not yet waited for."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError, ValueError):  # a thread may have ended meanwhile
            found += map(int, path.read_text().split())
    return found


def _available_nbytes() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _cgroup_nbytes() -> int | None:
    """What a container's own limit leaves, which /proc/meminfo knows nothing of."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return None if limit == "max" else int(limit) - int(used)
    except (OSError, ValueError):
        return None


def _onednn_version(config: str) -> str:
    for line in config.splitlines():
        if "MKL-DNN" in line or "oneDNN" in line:
            return next(
                (word.removeprefix("v") for word in line.split() if word[:1] == "v" and word[1:2].isdigit()), ""
            )
    return ""


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603  # fixed programs, no shell
    except (OSError, subprocess.SubprocessError):
        return ""
