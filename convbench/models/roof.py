"""How near does each convolution of a model come to what this machine can do? Only where its ceilings are kept."""

from dataclasses import replace

from convbench.ceilings.cache import Cache
from convbench.ceilings.gather import Prober
from convbench.ceilings.roofline import Ceilings, roofline
from convbench.dtypes import DTYPE
from convbench.models.costs import ModelCosts, Row


def with_roofs(costs: ModelCosts, cache: Cache | None = None) -> ModelCosts:
    """With the least time that each row needs on this CPU; nothing is measured for it."""
    prober = Prober(threads=costs.threads, cache=cache or Cache.of_user())
    known: dict[str, Ceilings | None] = {}
    rows = []
    for row in costs.rows:
        dtype = row.shape.dtype
        if dtype in DTYPE and dtype not in known:
            known[dtype] = prober.known(("cpu", dtype, "ieee"))
        ceilings = known.get(dtype)
        rows.append(row if ceilings is None or row.shape.why_no_spec is not None else _with_roof(row, ceilings))
    return replace(costs, rows=tuple(rows))


def _with_roof(row: Row, ceilings: Ceilings) -> Row:
    spec, dtype, own = row.shape.spec, row.shape.dtype, row.shape.pass_
    # Of a transposed convolution the forward pass is the dgrad of its problem, and the gradient of its x the fprop.
    other = "fprop" if own == "dgrad" else "dgrad"
    roofs = {pass_: roofline(spec, dtype, ceilings, pass_) for pass_ in (own, other, "wgrad")}
    whole_s = sum(
        roofs[own].time_s + call.dgrad * roofs[other].time_s + call.wgrad * roofs["wgrad"].time_s for call in row.calls
    )
    return replace(row, roof_s=whole_s, bound=roofs[own].bound)
