"""Which backend is fastest on the layers of a model that matter, and what would that gain?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from convbench.backend import BASELINE
from convbench.call.watch import BackendStage
from convbench.case import Problem, cases
from convbench.errors import plural
from convbench.outcome import Failed, Result, Timed, Wrong
from convbench.show.advice import what_matters
from convbench.show.units import duration, seconds

if TYPE_CHECKING:
    from convbench.models.costs import ModelCosts, Row

# What a user does to get a backend's convolution in a model of PyTorch.
HOW = {
    "onednn": "torch.mkldnn_convolution",
    "onednn-prepacked": "torch.jit.optimize_for_inference, or torch.compile with freezing",
    "torch-compile": "torch.compile",
    "onnxruntime": "torch.onnx.export, and onnxruntime",
    "openvino": "openvino.convert_model",
    "ncnn": "pnnx, and ncnn",
    "jax": "the layer in jax",
    "unfold-matmul": "F.unfold and a matrix product in place of the layer",
    "unfold-einsum": "F.unfold and an einsum in place of the layer",
}


ADMIT_S = 0.5  # of a backend before it is timed: its import, and its verification


class _Steps:
    """The backends of one race, one by one, and nothing once they are timed."""

    def __init__(self, which: str, count: int, say: Callable[[str], None], hold: Callable[[], None]) -> None:
        self._which, self._count, self._say, self._hold = which, count, say, hold
        self._seen: dict[str, None] = {}
        self._timed = False

    def heard(self, backend: str, stage: str, _: float) -> None:
        """As `Session.heard`."""
        if stage == BackendStage.VERIFIED and backend not in self._seen:
            self._seen[backend] = None
            self._say(f"{self._which}: verifying {backend}, {len(self._seen)} of {self._count}")
        elif stage == BackendStage.WAITED and not self._timed:
            self._timed = True
            self._say(f"{self._which}: timing {plural(self._count, 'backend')} in turns")
        if stage != BackendStage.VERIFIED:
            self._hold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Raced:
    """One layer, and what became of each backend on it."""

    row: "Row"
    results: tuple[Result, ...]

    @property
    def torch(self) -> Timed | None:
        found = (one.outcome for one in self.results if one.backend == BASELINE)
        return next((one for one in found if isinstance(one, Timed)), None)

    @property
    def best(self) -> tuple[str, Timed] | None:
        """The backend with the highest ratio of those that are certainly faster than torch."""
        faster = [
            (one.backend, one.outcome)
            for one in self.results
            if isinstance(one.outcome, Timed) and one.outcome.comparison and one.outcome.comparison.verdict == "faster"
        ]
        return max(faster, key=lambda pair: pair[1].comparison.ratio if pair[1].comparison else 0.0, default=None)

    @property
    def record(self) -> dict[str, Any]:
        return {
            "name": self.row.name,
            "spec": str(self.row.shape),
            "backends": {
                one.backend: {
                    "median_s": one.outcome.median_s,
                    "speed_vs_torch": one.outcome.comparison and one.outcome.comparison.ratio,
                    "verdict": one.outcome.comparison and one.outcome.comparison.verdict,
                    "noisy": one.outcome.noise.noisy,
                }
                for one in self.results
                if isinstance(one.outcome, Timed)
            },
            "wrong_or_failed": [one.backend for one in self.results if isinstance(one.outcome, Wrong | Failed)],
        }


def race_layers(
    costs: "ModelCosts",
    budget_s: float,
    tell: Callable[[str], None],
    *,
    say: Callable[[str], None] = lambda _: None,
    hold: Callable[[], None] = lambda: None,
) -> list[Raced]:
    """Time every backend on each layer that matters, in its own dtype and layout, as `bench` does.

    Args:
        say: receives which backend is being verified.
        hold: called once they are timed.
    """
    from convbench.selection import FOR_BENCH, select
    from convbench.session import Bench, Session

    rows = [row for row in what_matters(costs) if row.shape.why_no_spec is None]
    if not rows:
        return []
    problems = [
        Problem(
            suite="model",
            name=row.name,
            spec=row.shape.spec,
            count=row.count,
            dtype=row.shape.dtype,
            layout=row.shape.layout,
            pass_=row.shape.pass_,
        )
        for row in rows
    ]
    selection = select(shapes=[str(rows[0].shape.spec)], defaults=FOR_BENCH, tell=tell)
    selection = replace(selection, cases=tuple(cases(problems)))
    work = Bench(budget_s=budget_s, ceilings=False)
    session = Session(selection, work, threads=costs.threads)
    raced: list[Raced] = []
    with closing(session.run()) as finished:
        for row in rows:
            case = selection.cases[len(raced)]
            running = [one for one in selection.backends if one.why_not(case) is None]
            most_s = work.at_most_s(case, running)
            about_s = min(most_s, budget_s * max(1, len(running) - 1) + ADMIT_S * len(running))
            which = f"race {len(raced) + 1} of {len(rows)}: {row.name}"
            tell(f"{which}, {plural(len(running), 'backend')}, about {duration(about_s)}, at most {duration(most_s)}")
            session.heard = _Steps(which, len(running), say, hold).heard
            raced.append(Raced(row=row, results=tuple(next(finished))))
    return raced


def _next(costs: "ModelCosts", raced: Sequence[Raced]) -> str:
    """What is left to try where no backend wins."""
    shape = raced[0].row.shape
    counts = ",".join(map(str, dict.fromkeys((1, costs.threads or 1))))
    done = {one.row.name for one in raced}
    left = [row.name for row in sorted(costs.problems, key=lambda row: -row.gain_s) if row.name not in done]
    more = f" The next layer to race is {left[0]}." if left else ""
    return (
        f"Next: convbench bench --shape {shape.spec} --dtype fp32,bf16 --layout nchw,nhwc --threads {counts} compares "
        f"bf16, channels_last and thread counts.{more}"
    )


def gained(costs: "ModelCosts", raced: Sequence[Raced]) -> Iterator[str]:
    """What came of the race, layer by layer, and what all of it would gain."""
    if not raced:
        return
    saved_s = 0.0
    for one in raced:
        best, own = one.best, one.torch
        if best is None or best[1].comparison is None or own is None:
            busy = own is None or own.noise.noisy
            yield f"{one.row.name}: {'the machine is too busy to tell' if busy else 'no backend is certainly faster'}."
            continue
        name, timed = best
        assert timed.comparison is not None
        ratio = timed.comparison
        if one.row.time_s is not None:
            saved_s += one.row.time_s * (1 - 1 / ratio.ratio)
        how = f" ({HOW[name]})" if name in HOW else ""
        yield (
            f"{one.row.name}: {name} is {ratio.ratio:.2f}x as fast as torch here ({ratio.low:.2f} to "
            f"{ratio.high:.2f}){how}."
        )
    if all(one.best is None for one in raced):
        quiet = any(one.torch is not None and not one.torch.noise.noisy for one in raced)
        yield _next(costs, raced) if quiet else "Run it again with --wait-until-quiet, or with a larger --budget."
    if saved_s and costs.time_s and not costs.training:  # a race times one pass, and a row of a training step is three
        yield (
            f"With the fastest of each the convolutions would take {seconds(costs.time_s - saved_s)} instead of "
            f"{seconds(costs.time_s)}, by these ratios; time the whole model before you believe it."
        )
    if wrong := sorted({name for one in raced for name in one.record["wrong_or_failed"]}):
        yield f"Wrong or failed here: {', '.join(wrong)}; convbench verify --shape {raced[0].row.shape.spec} says why."
