"""What about this machine makes timings noisy, and what can be done about it?"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from convbench import system
from convbench.bench.noise import FOREIGN, STEAL, TICK_S, Gpu, disturbance_now, noise_now
from convbench.bench.placement import Placement
from convbench.device import Device, find_device
from convbench.device.host import cpus_allowed
from convbench.machine import cpu_quota

HOT_C = 85.0
PLACE_LOOKS = 10  # now, in addition to what is already known
RARE = 0.02  # of all looks: a place that hardly matters
SYSTEM = Path("/sys/devices/system/cpu")
MOST_WAIT_S = 600.0
LOOK_S, QUIET_LOOKS = 1.0, 3  # quiet is so many looks in a row: a build pauses for a second
TELL_EVERY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """One check: `ok` is None if unknown; `advice` is empty if all is well.

    `mendable` is false for what cannot be changed here.
    """

    what: str
    ok: bool | None
    found: str
    advice: str = ""
    mendable: bool = True

    @property
    def word(self) -> str:
        """ok, change, info or unknown."""
        if self.ok is None:
            return "unknown"
        return "ok" if self.ok else "change" if self.mendable else "info"


def examine(device: Device, threads: int, *, seconds: float = 0.5) -> Iterator[Disturbance]:
    """Check the system, load, clocks and cores, and the device if it is not a CPU; takes `seconds`."""
    yield _system()
    yield from _load(seconds)
    yield _governor()
    yield _turbo()
    yield from _cores(threads)
    yield from _places(threads)
    if not device.on_host:
        yield from _gpu(device)


def _system() -> Disturbance:
    missing = [why for part in system.NEEDS if (why := system.lacks(part))]
    return Disturbance(
        what="system",
        ok=not missing,
        mendable=False,
        found=f"{system.name()}: {'; '.join(missing) or 'everything runs here'}",
        advice=system.elsewhere() if missing else "",
    )


def _load(seconds: float) -> Iterator[Disturbance]:
    before = _process_ticks()
    noise = noise_now(seconds)
    if noise.foreign is None or noise.steal is None:
        yield Disturbance(what="other load", ok=None, found="this system has no /proc/stat")
        return
    after = _process_ticks()
    spent = {pid: ticks - before.get(pid, (0, ""))[0] for pid, (ticks, _) in after.items()}
    busiest = [pid for pid in sorted(spent, key=lambda pid: -spent[pid])[:3] if spent[pid] * TICK_S > 0.02 * seconds]
    names = ", ".join(
        f"{after[pid][1]} ({pid}, {_percent(spent[pid] * TICK_S / seconds)} of a core)" for pid in busiest
    )
    heavy = noise.foreign > FOREIGN
    yield Disturbance(
        what="other load",
        ok=not heavy,
        found=f"{_percent(noise.foreign, 1)} of all cores{f': {names}' if names else ''}",
        advice="stop them, or wait until they end" if heavy else "",
    )
    yield Disturbance(
        what="steal",
        ok=noise.steal <= STEAL,
        found=f"{_percent(noise.steal, 1)} of all cores taken by the hypervisor",
        advice="use a dedicated machine, or another time" if noise.steal > STEAL else "",
    )


def _process_ticks() -> dict[int, tuple[int, str]]:
    """CPU ticks and name of every other process: proc(5), /proc/PID/stat."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            head, _, tail = (folder / "stat").read_text().rpartition(")")
            numbers = tail.split()
            found[int(folder.name)] = (int(numbers[11]) + int(numbers[12]), head.partition("(")[2])
    found.pop(os.getpid(), None)
    return found


def _governor() -> Disturbance:
    governors = {_read(file) for file in SYSTEM.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""}
    if not governors:
        return Disturbance(what="governor", ok=None, found="not reported here (usually a virtual machine)")
    right = governors == {"performance"}
    return Disturbance(
        what="governor",
        ok=right,
        found=", ".join(sorted(governors)),
        advice="" if right else "sudo cpupower frequency-set -g performance",
    )


def _turbo() -> Disturbance:
    off, boost = _read(SYSTEM / "intel_pstate/no_turbo"), _read(SYSTEM / "cpufreq/boost")
    if not off and not boost:
        return Disturbance(what="turbo", ok=None, found="not reported here")
    on = off == "0" or boost == "1"
    file, value = ("intel_pstate/no_turbo", 1) if off else ("cpufreq/boost", 0)
    return Disturbance(
        what="turbo",
        ok=not on,
        found="on: the clock depends on heat and on other load" if on else "off",
        advice=f"ratios are fine; for steady times: echo {value} | sudo tee {SYSTEM / file}" if on else "",
    )


def _cores(threads: int) -> Iterator[Disturbance]:
    allowed, quota = cpus_allowed(), cpu_quota()
    room = min(allowed, quota or allowed)
    limit = f", a container's limit of {quota:.3g} cores" if quota else ""
    crowded = threads > room
    threads_are, cpus = "1 thread" if threads == 1 else f"{threads} threads", "CPU" if allowed == 1 else "CPUs"
    yield Disturbance(
        what="threads",
        ok=not crowded,
        found=f"{threads_are} on {allowed} allowed {cpus}{limit}",
        advice=f"--threads {max(1, int(room))}" if crowded else "",
    )
    siblings = _read(SYSTEM / "cpu0/topology/thread_siblings_list")
    if _read(SYSTEM / "smt/active") == "1" and siblings.strip() not in ("", "0"):
        cores = {_read(file) for file in SYSTEM.glob("cpu[0-9]*/topology/thread_siblings_list")}
        shared = threads > len(cores)
        yield Disturbance(
            what="SMT",
            ok=not shared,
            found=f"on: {len(cores)} cores have two or more threads each",
            advice=f"--threads {len(cores)}: two threads of one core slow each other down" if shared else "",
        )
    else:
        yield Disturbance(what="SMT", ok=True, found="off, or not detected")
    nodes = len(list(Path("/sys/devices/system/node").glob("node[0-9]*")))
    if nodes > 1:
        bound = allowed < (os.cpu_count() or 1)
        yield Disturbance(
            what="memory nodes",
            ok=bound,
            found=f"{nodes}, and this process is {'pinned to some CPUs' if bound else 'not pinned'}",
            advice="" if bound else "numactl --cpunodebind=0 --membind=0 convbench ...",
        )


def _places(threads: int) -> Iterator[Disturbance]:
    placement = Placement.of_machine(threads)
    if placement is None:
        return
    for _ in range(PLACE_LOOKS * len(placement.pairs)):
        placement.look(now=True)
        time.sleep(10e-3)
    placement.keep()
    for pair in placement.pairs:
        shares = placement.shares(pair)
        often = [(seconds, share) for seconds, share in shares if share > RARE]
        steady = len(often) < 2
        found = " or ".join(f"{1e9 * seconds:.0f} ns ({_percent(share)} of the time)" for seconds, share in often)
        yield Disturbance(
            what=f"CPUs {pair[0]}, {pair[1]}",
            ok=steady if often else None,
            mendable=False,
            found=f"core-to-core latency {found or 'not measured'}",
            advice=""
            if steady
            else "nothing: the hypervisor moves the CPUs; bench keeps only samples from their usual placement",
        )


def _gpu(device: Device) -> Iterator[Disturbance]:
    gpu = Gpu.open(device)
    if gpu is None:
        yield Disturbance(what="GPU", ok=None, found="NVML does not report it")
        return
    state, others = gpu.state(), gpu.others(using=False) or []
    yield Disturbance(
        what="GPU load",
        ok=not others,
        found=f"{len(others)} other processes{': ' if others else ''}{', '.join(map(str, others[:5]))}",
        advice="stop them, or select another GPU with CUDA_VISIBLE_DEVICES" if others else "",
    )
    facts = [
        f"{value * scale:.0f} {unit}"
        for value, scale, unit in (
            (state.clock_hz, 1e-6, "MHz"),
            (state.temperature_c, 1, "°C"),
            (state.power_w, 1, "W"),
        )
        if value is not None
    ]
    hot = bool(state.throttle) or (state.temperature_c or 0) > HOT_C
    yield Disturbance(
        what="GPU clock",
        ok=not hot,
        found=", ".join(facts or ["not reported here"]) + (f"; slowed by: {state.throttle}" if state.throttle else ""),
        advice="let it cool; check its fans and the devices next to it" if hot else "",
    )


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def warning(now_s: float = 0.2) -> str:
    """One line for the head of a sweep: how noisy the machine is now; takes `now_s` seconds."""
    noise = noise_now(now_s)
    if noise.foreign is None or noise.steal is None:
        return "machine now: its load is unknown"
    loud = noise.foreign > FOREIGN or noise.steal > STEAL
    more = "; see convbench doctor" if loud else ""
    return (
        f"machine now: {'busy' if loud else 'quiet'} ({_percent(noise.foreign)} other load, "
        f"{_percent(noise.steal)} steal{more})"
    )


def ready_to_time(tell: Callable[[str], None], *, patiently: bool) -> None:
    """Tell how busy the CPU is, and wait before for it to be quiet if `patiently`; for a model, on torch's threads."""
    if patiently:
        import torch

        wait_until_quiet(find_device("cpu"), torch.get_num_threads(), tell)
    tell(warning())


def wait_until_quiet(
    device: Device,
    threads: int,
    tell: Callable[[str], None],
    *,
    most_s: float = MOST_WAIT_S,
    look: Callable[[Device | None, int, float], str] = disturbance_now,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until nothing disturbs for some looks in a row, and `tell` why and how long; go on after `most_s` seconds.

    Args:
        look: what disturbs during this many seconds, as words.
    """
    begun = told = clock()
    quiet, waited = 0, False
    while quiet < QUIET_LOOKS:
        found = look(device, threads, LOOK_S)
        now = clock()
        quiet = 0 if found else quiet + 1
        if found and not waited:
            tell(f"waiting up to {most_s:.0f} s for a quiet machine: {found}")
            waited, told = True, now
        elif found and now - told >= TELL_EVERY_S:
            tell(f"still waiting after {now - begun:.0f} s: {found}")
            told = now
        if found and now - begun >= most_s:
            tell(f"not quiet after {now - begun:.0f} s ({found}); starting anyway, expect more undecided rows")
            return
    if waited:
        tell(f"quiet after {clock() - begun:.0f} s")
