"""How does the walk of one convolution look as one page that a reader can touch?

The page computes everything by itself, for any setting. It carries what was proved here and
compares itself with it when it opens.
"""

from dataclasses import asdict
from html import escape
from typing import Any

from convbench.errors import ConvbenchError
from convbench.explain.steps import Walk
from convbench.explain.walk import count_operands
from convbench.show.explain import page as text_page
from convbench.show.explain_evidence import NOTHING, Evidence
from convbench.show.html import allowed, as_json, fill, read
from convbench.show.pack import pack_script, pack_style
from convbench.show.steps import View
from convbench.spec import ConvSpec

# In the order in which each needs what the ones before it define; the last one draws as soon as it is read.
SCRIPTS = tuple(
    f"explain_{name}.js"
    for name in (
        "compute words words_de transforms algorithms dom timeline images slice program story check layout ink "
        "flights picture grids tables links ways notes backward quiz ran address setting chrome pointing drawer "
        "transport hands keys"
    ).split()
)
SCRIPTS += ("explain.js",)
STYLES = ("explain.css",)
# A browser takes some tenths of a second for a new setting up to here; the page itself holds to them, too.
MOST_PRODUCTS, MOST_NUMBERS = 2**25, 2**22
# A trace beyond this makes a file of several megabytes; it is then carried without its larger tensors.
MOST_TRACED, MOST_TERMS = 200_000, 2_000


def explain_page(walk: Walk, view: View | None = None, *, seed: int = 0, evidence: Evidence = NOTHING) -> str:
    """The page as HTML, open at the walk's cell.

    Args:
        walk: proved; its operands are `small_integers(spec, seed)`, which the page draws again.

    Raises:
        ConvbenchError: it is more than a browser can show at once.
    """
    check_size(walk.spec)
    script, style = pack_script(read(*SCRIPTS)), pack_style(read(*STYLES))
    trace = trace_of(walk)
    parts = {
        "title": f"convbench explain {escape(str(walk.spec))}",
        "script_hash": allowed(script),
        "style_hash": allowed(style),
        "css": style,
        "js": script,
        "walk": escape("\n".join(line.plain.rstrip() for line in text_page(walk, 80, view=view))),
        "data": as_json(
            {
                "trace": trace,
                "seed": seed,
                "limits": {"products": MOST_PRODUCTS, "numbers": MOST_NUMBERS},
                "evidence": dict(evidence),
            }
        ),
    }
    return fill("explain.html", parts)


def check_size(spec: ConvSpec) -> None:
    """Raise where a browser would no longer answer at once."""
    for given, limit, name in (
        (spec.p * spec.q * spec.taps, MOST_PRODUCTS, "products in one filter's output"),
        (count_operands(spec), MOST_NUMBERS, "numbers in padded x, w and y"),
    ):
        if given > limit:
            raise ConvbenchError(
                f"--html of {spec}: it has {given:,} {name}, and the limit of a page is {limit:,}; "
                f"try a smaller n, c, h or w, or leave --html out to see it in the terminal"
            )


def trace_of(walk: Walk) -> dict[str, Any]:
    """What was computed and proved, flat and whole; a tensor that is too large for a page is None."""
    spec, cell = walk.spec, walk.cell
    tensors = {"y_plane": walk.y[cell.n, cell.k], "x": walk.x, "w": walk.w, "y": walk.y}
    tensors |= {"folded": walk.folded, "patches": walk.patches}
    kept: dict[str, Any] = {}
    room = MOST_TRACED
    for name, tensor in tensors.items():
        fits = tensor.numel() <= room
        kept[name] = _whole(tensor.flatten().tolist()) if fits else None
        room -= tensor.numel() if fits else 0
    return {
        "spec": str(spec),
        "cell": asdict(cell),
        # Enough to follow; the total is of all of them.
        "terms": [
            _whole([term.channel, term.r, term.s, term.row, term.column, term.x, term.w, term.product])
            for term in walk.terms[:MOST_TERMS]
        ],
        "sums": _whole([*walk.channel_sums, walk.total, walk.flipped]),
        "axes": [
            [axis.room, axis.rest, axis.positions, *axis.readers.tolist(), len(axis.unread), *axis.unread]
            for axis in walk.axes
        ],
        "variants": [[variant.change, variant.spec.p, variant.spec.q] for variant in walk.variants],
        "counts": {
            "position": walk.position,
            "gemm": walk.gemm,
            "macs": walk.macs,
            "multiplications": walk.multiplications,
            "additions": walk.additions,
            "on_padding": walk.on_padding,
            "x_nbytes": walk.x_nbytes,
            "patches_nbytes": walk.patches_nbytes,
        },
        "proof": [asdict(comparison) | {"holds": comparison.holds} for comparison in walk.proof],
        **kept,
    }


def _whole(values: "list[float]") -> list[int | float]:
    """Integers without their `.0`, which would be a third of the file."""
    return [int(value) if float(value).is_integer() else value for value in values]
