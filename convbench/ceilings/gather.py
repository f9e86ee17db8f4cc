"""Which ceilings apply to these cases: which are known, and which must be measured first?"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import torch

from convbench.call.tensors import arithmetic
from convbench.ceilings import cpu
from convbench.ceilings.cache import Cache, CeilingLedger, CeilingReading
from convbench.ceilings.measure import Recipe, highest, make
from convbench.ceilings.roofline import Ceilings, Kind, Level
from convbench.device import find_device
from convbench.device.host import cpu_caches
from convbench.machine import fingerprint

COMPUTE_S = 2.5  # for each dtype and precision
MEMORY_S = 0.6  # for each level
CALLS_S = 0.2
ROUNDED_UP = 1.5  # rounds are whole, and probes have to be made
CALLS = "calls"

# Says of which kind which groups are about to be probed, and about how long it takes in seconds.
Say = Callable[[Kind, Sequence[str], float], None]


@dataclass(slots=True)
class Prober:
    """The ceilings of this machine with one number of CPU threads.

    Attributes:
        threads: torch's own number, as it is set.
        cache: where readings are kept between runs.
        say: called before each round of probes.
        scale: all probing times are multiplied by it.
        saved: whether what was probed could be kept.
    """

    threads: int
    cache: Cache
    say: Say = lambda kind, groups, seconds: None  # noqa: ARG005  # it says nothing
    scale: float = 1.0
    saved: bool = field(default=True, init=False)
    _ledgers: dict[str, CeilingLedger] = field(default_factory=dict, init=False)
    _renewed: set[str] = field(default_factory=set, init=False)

    def ceilings(self, kind: Kind, *, refresh: bool = False) -> Ceilings | None:
        """The ceilings of a device, dtype and precision; probes what is not known, or all of it.

        None if not one probe of the operations or of the memory runs.
        """
        device, _, _ = kind
        known = self.ledger(device)
        wanted = [
            group
            for _, group, _ in self.groups(kind)
            # Memory and calls are the same for every dtype: asked to refresh, probe them once.
            if (group not in self._renewed if refresh else known.best(group) is None)
        ]
        if wanted:
            self._probe(kind, wanted, anew=refresh)
            self._renewed |= set(wanted if refresh else ())
        return self._read(kind)

    def known(self, kind: Kind) -> Ceilings | None:
        """As `ceilings`, of what is kept alone: nothing is probed."""
        return self._read(kind)

    def groups(self, kind: Kind) -> list[tuple[str, str, int | None]]:
        """Name for people, group in the ledger, and bytes of each ceiling of a kind."""
        device, dtype, precision = kind
        return [
            ("operations", f"flops {dtype} {precision}", None),
            *((name, f"bytes {name}", nbytes) for name, nbytes in self._levels(device)),
            ("call", CALLS, None),
        ]

    def again(self, kind: Kind, bound: str) -> Ceilings | None:
        """Probe one side ("compute" or "memory") once more; what was higher before stays."""
        wanted = "flops" if bound == "compute" else "bytes"
        self._probe(kind, [group for _, group, _ in self.groups(kind) if group.startswith(wanted)], anew=False)
        return self._read(kind)

    def ledger(self, device: str) -> CeilingLedger:
        """Every reading of a device."""
        if device not in self._ledgers:
            self._ledgers[device] = self.cache.load(self.facts(device))
        return self._ledgers[device]

    def facts(self, device: str) -> dict[str, str]:
        return fingerprint(device, self.threads)

    def _levels(self, device: str) -> Sequence[tuple[str, int | None]]:
        if not find_device(device).on_host:
            from convbench.ceilings import gpu

            return gpu.levels(find_device(device))
        return [*cpu_caches(self.threads), ("memory", None)]

    def _read(self, kind: Kind) -> Ceilings | None:
        device = kind[0]
        ledger = self.ledger(device)
        (_, flops_group, _), *levels, _ = self.groups(kind)
        flops, calls = ledger.best(flops_group), ledger.best(CALLS)
        found = [(name, nbytes, ledger.best(group)) for name, group, nbytes in levels]
        known = tuple(
            Level(name=name, nbytes=nbytes, bytes_per_s=best[1].rate, probe=best[0])
            for name, nbytes, best in found
            if best is not None
        )
        if flops is None or not known or known[-1].nbytes is not None:
            return None
        return Ceilings(
            device=device,
            flops_per_s=flops[1].rate,
            flops_probe=flops[0],
            levels=known,
            launch_s=1 / calls[1].rate if calls else 0.0,
        )

    def _probe(self, kind: Kind, groups: Sequence[str], *, anew: bool) -> None:
        device, dtype, precision = kind
        seconds = {group: self._seconds(group) for group in groups}
        self.say(kind, groups, ROUNDED_UP * sum(seconds.values()))
        found = CeilingLedger()
        with find_device(device).selected(), torch.inference_mode(), arithmetic(precision):
            for group in groups:
                probes, missing = make(self._recipes(group, device, dtype))
                now = datetime.now(UTC).isoformat(timespec="seconds")
                found.missing[group] = missing
                found.readings[group] = {
                    name: CeilingReading(rate=rate, time=now) for name, rate in highest(probes, seconds[group]).items()
                }
                del probes  # and their memory
        known = self.ledger(device)
        joined, saved = self.cache.add(self.facts(device), found, anew=anew)
        if not saved:  # this run's own memory is all there is
            for group in found.readings if anew else ():
                known.readings.pop(group, None)
            known.take(found)
            joined = known
        self._ledgers[device], self.saved = joined, saved

    def _seconds(self, group: str) -> float:
        kind = group.partition(" ")[0]
        return self.scale * {"flops": COMPUTE_S, "bytes": MEMORY_S, CALLS: CALLS_S}[kind]

    def _recipes(self, group: str, device: str, dtype: str) -> Iterable[Recipe]:
        kind, _, name = group.partition(" ")
        where = find_device(device)
        if not where.on_host:
            from convbench.ceilings import gpu

            match kind:
                case "flops":
                    return gpu.compute_probes(where, dtype)
                case "bytes":
                    return gpu.memory_probes(where, self._working_set(device, name))
            return gpu.launch_probes(where)
        match kind:
            case "flops":
                return cpu.compute_probes(dtype, self.threads)
            case "bytes":
                return cpu.memory_probes(name, self._working_set(device, name), self.threads)
        return cpu.launch_probes()

    def _working_set(self, device: str, name: str) -> int:
        where, nearer = find_device(device), 0
        for level, nbytes in self._levels(device):
            if level == name:
                if where.on_host:
                    return cpu.level_nbytes(nbytes, nearer)
                from convbench.ceilings import gpu

                return gpu.level_nbytes(where, nbytes, nearer)
            nearer = nbytes or 0
        raise AssertionError(name)
