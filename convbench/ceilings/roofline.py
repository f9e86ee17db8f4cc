"""How fast could this case be at best on this machine, and is a timing possible at all?"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from convbench.backend import Backend
from convbench.case import Case
from convbench.device import find_device
from convbench.outcome import Result, Roofline, Timed
from convbench.spec import ConvSpec

# What decides a ceiling besides the machine and its threads.
Kind = tuple[str, str, str]  # device, dtype, precision

IMPOSSIBLE = "impossible: faster than the measured ceilings allow"
TRANSFORM = "above the direct roofline: a transform algorithm or another precision did fewer operations"
PLAIN_FAMILIES = ("direct", "im2col", "implicit_gemm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A level of memory: what it holds, and how fast it is read and written together.

    Attributes:
        nbytes: bytes that all threads can reach together; None for main memory.
        bytes_per_s: the highest reading.
        probe: what reached it.
    """

    name: str
    nbytes: int | None
    bytes_per_s: float
    probe: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The highest that the probes of one device, dtype, precision and number of threads got to.

    Attributes:
        flops_per_s, flops_probe: operations a second, and what reached them.
        levels: of memory, the nearest first; the last is main memory.
        launch_s: seconds of the cheapest call: an empty kernel, or torch's dispatch on a CPU.
    """

    device: str
    flops_per_s: float
    flops_probe: str
    levels: tuple[Level, ...]
    launch_s: float


def kind_of(case: Case) -> Kind:
    return case.device, case.dtype, case.precision


def roofline(spec: ConvSpec, dtype: str, ceilings: Ceilings, pass_: str = "fprop") -> Roofline:
    """The least time for the direct algorithm, after Williams, Waterman, Patterson 2009.

    max(operations / peak FLOP/s, bytes / bandwidth), and on a GPU the time of an empty kernel on
    top. Operations are the multiply-adds on the image, without the padding; bytes are what the
    outputs depend on and the outputs, each once. In repeated calls the data stays in the caches
    as far as it fits, so each byte moves at the speed of the nearest level that has room for it.
    """
    compute_s = 2 * spec.inner_macs / ceilings.flops_per_s
    nbytes = spec.needed_nbytes(dtype, pass_)
    moved_s, memory_probe = _moving(nbytes, ceilings.levels)
    longest = max(compute_s, moved_s)
    if ceilings.launch_s > longest:
        bound, probe = "launch", ""
    elif compute_s >= moved_s:
        bound, probe = "compute", ceilings.flops_probe
    else:
        bound, probe = "memory", memory_probe
    return Roofline(
        # A backend on the CPU need not be an operator of torch, so its dispatch is no bound there.
        time_s=longest + (0.0 if find_device(ceilings.device).on_host else ceilings.launch_s),
        bound=bound,
        flops_per_s=ceilings.flops_per_s,
        bytes_per_s=nbytes / moved_s if moved_s else ceilings.levels[0].bytes_per_s,
        probe=probe,
    )


def _moving(nbytes: int, levels: Sequence[Level]) -> tuple[float, str]:
    """Seconds to move the bytes from the nearest levels with room, and the probe of the level that takes longest."""
    rest, total_s, longest, probe = nbytes, 0.0, -1.0, levels[0].probe
    for number, level in enumerate(levels):
        part = rest if level.nbytes is None else min(rest, level.nbytes)
        # Noise must not make a near level slower than a far one.
        part_s = part / max(one.bytes_per_s for one in levels[number:])
        if part_s > longest:
            longest, probe = part_s, f"{level.name}: {level.probe}"
        total_s, rest = total_s + part_s, rest - part
    return total_s, probe


def flag(roof: Roofline, time_s: float, *, family: str, device: str, least_s: float) -> str:
    """What to say of a time below the roofline; empty for one above it.

    A transform (Winograd, FFT) does fewer multiplications than the direct algorithm, and so may
    whatever a GPU's library picked; `least_s` bounds them as well: their bytes, and the
    operations that they say they do.
    """
    if time_s >= roof.time_s:
        return ""
    transform = family in ("winograd", "fft") or (family == "vendor" and not find_device(device).on_host)
    return TRANSFORM if transform and time_s >= least_s else IMPOSSIBLE


def operations(backend: Backend | None, family: str, spec: ConvSpec) -> int | None:
    """Operations that the backend does, by its own word or by its family's; None where nobody knows."""
    if backend is not None and backend.actual_flops is not None:
        return backend.actual_flops(spec)
    return spec.flops if family in PLAIN_FAMILIES else None


# Probe the bound of this kind once more, "compute" or "memory"; None when that cannot be.
Reprobe = Callable[[Kind, str], Ceilings | None]


def with_rooflines(
    results: Iterable[Result],
    backends: Iterable[Backend],
    ceilings: Mapping[Kind, Ceilings],
    reprobe: Reprobe = lambda kind, bound: None,  # noqa: ARG005  # it says nothing
) -> Iterator[Result]:
    """The results, each timed one with its roofline where the ceilings of its kind are known.

    Before a row on the CPU is called impossible, the ceiling that it broke is probed once more:
    it may have been measured while others worked. Each kind and bound at most once.
    """
    known, by_name = dict(ceilings), {backend.name: backend for backend in backends}
    asked: set[tuple[Kind, str]] = set()
    for result in results:
        timed = result.outcome
        if not isinstance(timed, Timed):
            yield result
            continue
        kind = kind_of(result.case)
        known_of = by_name.get(result.backend) if result.case.pass_ == "fprop" else None  # it speaks of fprop
        actual = operations(known_of, result.family, result.case.spec)
        timed = replace(timed, actual_flops=actual)
        if kind in known:
            held = hold_against(timed, result, known[kind])
            while held.flag == IMPOSSIBLE and result.case.target.on_host and held.roofline is not None:
                side = "memory" if held.roofline.bound == "memory" else "compute"
                if (kind, side) in asked:
                    break
                asked.add((kind, side))
                if (higher := reprobe(kind, side)) is not None:
                    known[kind] = higher
                    held = hold_against(timed, result, higher)
            timed = held
        yield replace(result, outcome=timed)


def hold_against(timed: Timed, result: Result, ceilings: Ceilings) -> Timed:
    """The timing with its roofline, and a flag where it is below it."""
    case = result.case
    roof = roofline(case.spec, case.dtype, ceilings, case.pass_)
    least_s = max(
        case.spec.needed_nbytes(case.dtype, case.pass_) / roof.bytes_per_s, (timed.actual_flops or 0) / roof.flops_per_s
    )
    said = flag(roof, timed.median_s, family=result.family, device=case.device, least_s=least_s)
    return replace(timed, roofline=roof, flag=said)
