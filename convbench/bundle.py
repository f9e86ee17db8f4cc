"""What does a bug report need to know of this machine? Versions, the machine, its ceilings, the newest results file."""

import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from pathlib import Path

from convbench.bench.doctor import Disturbance
from convbench.ceilings.cache import Cache
from convbench.device import Device
from convbench.errors import ConvbenchError, printable
from convbench.machine import fingerprint, this_machine
from convbench.store import read_rows

# Packages whose version may explain a result; of others that are installed nothing is said.
_PACKAGES = set(
    "torch torchvision triton numpy pandas rich typer pydantic onnx onnxruntime openvino ncnn jax jaxlib llvmlite "
    "pillow safetensors timm transformers pytest pytest-benchmark".split()
)


def bundle(device: Device, threads: int, findings: Iterable[Disturbance], results: Path) -> str:
    """A text to attach to a bug report; it names no host, no user and no folder.

    Args:
        findings: what `convbench doctor` found.
        results: the folder of results files, whose newest one is described.
    """
    facts = this_machine(device.name).columns() | {"machine": ""}
    system = {"system": platform.system(), "release": platform.release(), "architecture": platform.machine()}
    parts = {
        "machine": _lines(system | facts),
        "packages": _lines(dict(_versions())),
        "doctor": [f"{one.word}: {one.what}: {one.found}" for one in findings],
        "ceilings": list(_ceilings(device, threads)),
        "newest results": _newest(results),
    }
    return "\n".join(
        line for title, lines in parts.items() for line in (f"{title}:", *(f"  {one}" for one in lines or ["none"]), "")
    )


def _lines(facts: dict[str, str]) -> list[str]:
    return [f"{name}: {printable(value)}" for name, value in facts.items() if value]


def _versions() -> Iterator[tuple[str, str]]:
    found = {str(one.metadata["Name"]).lower(): one.version for one in distributions() if one.metadata["Name"]}
    return ((name, found[name]) for name in sorted(_PACKAGES & found.keys()))


def _ceilings(device: Device, threads: int) -> Iterator[str]:
    ledger = Cache.of_user().load(fingerprint(device.name, threads))
    for group in ledger.readings:
        if (best := ledger.best(group)) is not None:
            yield f"{group}: {best[1].rate:.4g} a second by {best[0]}, {best[1].time}"


def _newest(folder: Path) -> list[str]:
    files = sorted(folder.glob("*.csv"), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    if not files:
        return []
    try:
        rows = read_rows(files[-1])
    except ConvbenchError as error:
        return [f"{files[-1].name}: {error}"]
    last = rows[-1] if rows else {}
    told = {name: last.get(name, "") for name in ("schema", "convbench", "torch", "device", "dtype", "time")}
    return [f"{files[-1].name}: {len(rows)} rows", *_lines(told)]
