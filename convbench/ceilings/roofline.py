"""How fast could this case be at best on this machine, and is a timing possible?"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from convbench.backend import Backend
from convbench.case import Case
from convbench.device import find_device
from convbench.outcome import Failed, Result, Roofline, Timed
from convbench.spec import ConvSpec

# What decides a ceiling besides the machine and its threads.
Kind = tuple[str, str, str]  # device, dtype, precision

IMPOSSIBLE = "impossible: faster than the measured ceilings allow"
TRANSFORM = "above the direct roofline: a transform algorithm or another precision did fewer operations"
PLAIN_FAMILIES = ("direct", "im2col", "implicit_gemm")
# A ceiling is a reading: probed an hour later, or with other neighbours, it is some percent higher. Up to so much more
# is no proof that work was left out.
MARGIN = 1.1


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
        flops_per_s, flops_probe: operations per second, and what reached them.
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


def roofline(spec: ConvSpec, dtype: str, ceilings: Ceilings, pass_: str = "fprop", *, cold: bool = False) -> Roofline:
    """The least time for the direct algorithm, after Williams, Waterman, Patterson 2009.

    max(operations / peak FLOP/s, bytes / bandwidth), and on a GPU the time of an empty kernel on
    top. Operations are the multiply-adds on the image, without the padding; bytes are what the
    outputs depend on and the outputs, each once. In repeated calls the data stays in the caches
    as far as it fits, so each byte moves at the speed of the nearest level that has room for it. In cold ones x
    (dy of a gradient) comes from memory; what was written last may stay in the cache, and so may the weight.
    """
    compute_s = 2 * spec.inner_macs / ceilings.flops_per_s
    nbytes = spec.needed_nbytes(dtype, pass_)
    far = spec.first_nbytes(dtype, pass_) if cold else 0
    (moved_s, memory_probe), (far_s, far_probe) = (
        _moving(nbytes - far, ceilings.levels),
        _moving(far, ceilings.levels[-1:]),
    )
    moved_s, memory_probe = moved_s + far_s, far_probe if far_s > moved_s else memory_probe
    longest = max(compute_s, moved_s)
    if ceilings.launch_s > longest:
        bound, probe = "launch", ""
    elif compute_s >= moved_s:
        bound, probe = "compute", ceilings.flops_probe
    else:
        bound, probe = "memory", memory_probe
    on_host = find_device(ceilings.device).on_host
    return Roofline(
        # A backend on the CPU need not be an operator of torch, so its dispatch is no bound there.
        time_s=longest + (0.0 if on_host else ceilings.launch_s),
        bound=bound,
        flops_per_s=ceilings.flops_per_s,
        bytes_per_s=nbytes / moved_s if moved_s else ceilings.levels[0].bytes_per_s,
        probe=probe,
        launch_s=ceilings.launch_s if on_host and bound == "launch" else None,
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
    """What to say of a time below the roofline; empty for one above it, or so near that the reading may be to blame.

    A transform (Winograd, FFT, Strassen) does fewer multiplications than the direct algorithm, and so may
    whatever a GPU's library picked; `least_s` bounds them as well.
    """
    if MARGIN * time_s >= roof.time_s:
        return ""
    transform = family in ("winograd", "fft", "strassen") or (family == "vendor" and not find_device(device).on_host)
    return TRANSFORM if transform and MARGIN * time_s >= least_s else IMPOSSIBLE


def operations(backend: Backend | None, family: str, spec: ConvSpec) -> int | None:
    """Operations that the backend does, by its family or by the declaration of a built-in one; None if unknown.

    What third-party code says of itself would be its excuse, and is not asked for.
    """
    if backend is not None and backend.built_in and backend.actual_flops is not None:
        return backend.actual_flops(spec)
    return spec.flops if family in PLAIN_FAMILIES else None


def least_operations(spec: ConvSpec, actual: int | None) -> float:
    """Operations below which no algorithm does it: those that are known, or one multiplication an output and channel.

    A transform of m outputs needs m + R - 1 multiplications where the direct algorithm takes m * R, along each axis
    (Winograd 1980, Arithmetic Complexity of Computations), so it saves less than R * S of them.
    """
    return max(actual or 0, 2 * spec.inner_macs / (spec.r * spec.s))


# Probe the bound of this kind once more, "compute" or "memory"; None when that cannot be.
Reprobe = Callable[[Kind, str], Ceilings | None]


def with_rooflines(
    results: Iterable[Result],
    backends: Iterable[Backend],
    ceilings: Mapping[Kind, Ceilings],
    reprobe: Reprobe = lambda kind, bound: None,  # noqa: ARG005  # it says nothing
) -> Iterator[Result]:
    """The results, each timed one with its roofline where the ceilings of its kind are known.

    One that is faster than they allow has failed: what it did was not this work. Before a row on the CPU is held
    against a ceiling that it broke, that is probed once more: it may have been measured while others worked.
    Each kind and bound at most once.
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
        known_of = known_of and known_of.for_case(result.case)
        actual = operations(known_of, result.family, result.case.spec)
        timed = replace(timed, actual_flops=actual)
        if kind in known:
            held = hold_against(timed, result, known[kind])
            while _broken(held) and result.case.target.on_host and held.roofline is not None:
                side = "memory" if held.roofline.bound == "memory" else "compute"
                if (kind, side) in asked:
                    break
                asked.add((kind, side))
                if (higher := reprobe(kind, side)) is not None:
                    known[kind] = higher
                    held = hold_against(timed, result, higher)
            timed = held
        yield replace(result, outcome=_impossible(timed) if timed.flag == IMPOSSIBLE else timed)


def _broken(timed: Timed) -> bool:
    """Whether it is faster than its roofline, if by little, and no transform explains it."""
    return timed.flag != TRANSFORM and timed.roofline is not None and timed.median_s < timed.roofline.time_s


def _impossible(timed: Timed) -> Failed:
    """The reason with its numbers, so it can be checked."""
    roof = timed.roofline
    assert roof is not None
    side = f"{roof.flops_per_s:.3g} operations/s" if roof.bound != "memory" else f"{roof.bytes_per_s:.3g} bytes/s"
    return Failed(
        f"{IMPOSSIBLE}: {timed.median_s:.3g} s per call, but this machine needs {roof.time_s:.3g} s at {side}"
        f"{f' ({roof.probe})' if roof.probe else ''}; work was left out, or the ceiling is too low "
        f"(convbench ceilings --refresh)"
    )


def hold_against(timed: Timed, result: Result, ceilings: Ceilings) -> Timed:
    """The timing with its roofline, and a flag where it is below it."""
    case = result.case
    roof = roofline(case.spec, case.dtype, ceilings, case.pass_, cold=timed.cache == "cold")
    least_s = max(
        case.spec.needed_nbytes(case.dtype, case.pass_) / roof.bytes_per_s,
        least_operations(case.spec, timed.actual_flops) / roof.flops_per_s,
    )
    said = flag(roof, timed.median_s, family=result.family, device=case.device, least_s=least_s)
    return replace(timed, roofline=roof, flag=said)
