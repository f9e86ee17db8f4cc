"""The fastest backend for each case, by the plan of `convbench tune` or else by the shipped cost table."""

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from convbench.backend import BASELINE, OWN, Backend, Unsupported, backend
from convbench.backends._cost_table import NAMES, ranked
from convbench.backends._plan import ShapeRankings, rankings
from convbench.case import Case, Problem
from convbench.discovery import load_here, sources
from convbench.dtypes import DTYPE
from convbench.spec import ConvSpec

NAME = "auto"
# They show how a convolution is computed, and are the fastest for none.
LESSONS = ("naive-loops", "unfold-einsum", "unfold-matmul")
_DTYPE_OF = {getattr(torch, one.torch): name for name, one in DTYPE.items()}


def choose(case: Case) -> Backend | None:
    """The first backend that does the case: of the plan's, then of the cost table's, then torch, then of the rest."""
    return _choose(case, rankings(torch.get_num_threads(), case.accuracy))


@lru_cache(4096)
def _choose(case: Case, known: ShapeRankings) -> Backend | None:
    if case.why_not is not None:
        return None
    for name in _in_order(case, known):
        found = candidate(name)
        if found is not None and found.why_not(case) is None:
            return found
    return None


def _in_order(case: Case, known: ShapeRankings) -> Iterator[str]:
    yield from known.of(case)
    yield from ranked(case)
    yield BASELINE
    yield from NAMES  # other libraries would be imported to be asked


@cache
def candidates(device: str = "cpu") -> tuple[str, ...]:
    """The backends of convbench that can be chosen on a device, those of other libraries among them if installed."""
    here = [one.name for one in sources() if one.origin == OWN and one.joins_unasked and device in one.devices]
    return tuple(name for name in here if name not in (NAME, *LESSONS))


@cache
def candidate(name: str) -> Backend | None:
    """A backend of convbench by name; None if it cannot be loaded here."""
    loaded, _ = load_here([one for one in sources() if one.origin == OWN and one.name == name != NAME], ())
    return loaded[0] if loaded else None


def refuse(case: Case) -> str | None:
    if choose(case) is not None:
        return None
    baseline = candidate(BASELINE)
    reason = None if baseline is None else baseline.why_not(case)
    return reason or "no backend does this case"


# A direct call, one that does not go through `for_case`, is judged by the bound of `auto` itself. So it takes no
# transform, and it prepares the weight each time.


def _run(pass_: str, operands: Sequence[Tensor], spec: ConvSpec, epilogue: str = "none") -> Tensor:
    first = operands[0]
    nhwc = first.is_contiguous(memory_format=torch.channels_last) and not first.is_contiguous()
    case = Case(
        problem=Problem(suite=NAME, name=NAME, spec=spec),
        dtype=_DTYPE_OF[first.dtype],
        layout="nhwc" if nhwc else "nchw",
        device=first.device.type,
        pass_=pass_,
        epilogue=epilogue,
        accuracy="strict",
    )
    chosen = choose(case)
    if chosen is None:
        raise Unsupported(refuse(case) or "")
    given = list(operands)
    if pass_ == "fprop" and chosen.prepare is not None:
        given[1] = chosen.prepare(given[1], chosen.view(spec))
    out: Tensor = chosen.bind(case, given)()
    return out


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    return _run("dgrad", (dy, w), spec)


def wgrad(dy: Float[Tensor, "n k p q"], x: Float[Tensor, "n c h w"], spec: ConvSpec) -> Float[Tensor, "k cg r s"]:
    return _run("wgrad", (dy, x), spec)


def fused(
    x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec, bias: Float[Tensor, " k"], relu: bool
) -> Float[Tensor, "n k p q"]:
    return _run("fprop", (x, w, bias), spec, "bias_relu" if relu else "bias")


@backend(
    family="vendor",
    source="convbench tune, or scripts/cost_table.py",
    dgrad=dgrad,
    wgrad=wgrad,
    fused=fused,
    refuse=refuse,
    any_padding=True,
    choose=choose,
)
def auto(x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return _run("fprop", (x, w), spec)
