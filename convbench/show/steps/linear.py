"""What is drawn of the steps as linear algebra: unfold, flatten, multiply, reshape, and what PyTorch did?"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

from collections.abc import Sequence
from textwrap import wrap

from rich.text import Text

from convbench.errors import plural
from convbench.explain.letters import CUDNN
from convbench.explain.steps import Comparison, Term, Walk
from convbench.show.grid import KERNEL, OUTPUT, PATCH, Block, flow, in_role, wrap_words
from convbench.show.steps.tensors import flat_kernel, flat_output, output, patch_matrix
from convbench.show.steps.view import Step, View, by_times, in_code, left_out, worth_seeing
from convbench.show.units import numeral, tuple_text

# What was checked, and the comparisons of the proof that do it.
CHECKED = (
    ("y", ("loops", "einsum", "oracle")),
    ("y in fp32", ("float32",)),
    ("this output", ("cell", "flipped")),
    ("patches", ("unfold", "padding", "matrix")),
    ("F.fold", ("fold",)),
    ("sizes, cost", ("sizes", "work")),
)
MEANINGS = {
    "Slow2d": "torch's own way: a patch matrix and a matrix product",
    "oneDNN": "a library of compiled kernels for CPUs",
    "scratch": "memory held during the call",
}
INSIGHT = (
    "Mathematically, convolution = extract patches + one matrix multiply. Extract local patches, flatten patches and "
    "kernels, take dot products, reshape to a spatial grid: a linear algebra operation, parallelizable and made for "
    "GPUs."
)


def unfold(walk: Walk, room: int, view: View) -> Step:
    spec, cell, names = walk.spec, walk.cell, view.letters
    taps, positions = walk.own.shape
    body = wrap_words(
        [
            Text(f"patches → {by_times(walk.patches.shape)}", style="bold"),
            Text("batch × flattened patch × sliding location"),
        ],
        room,
        space="   ",
    )
    body += wrap_words(
        [Text(f"l = {names.p}·{names.Q} + {names.q} = {cell.p}·{spec.q} + {cell.q} = {walk.position}")], room
    )
    body += patch_matrix(walk, room, view)
    notes = [
        "Each column is one patch, the neighborhood that the kernel covers at one location, flattened into a vector.",
        (
            f"{plural(taps, 'row')} = {names.taps(spec.groups)} = {spec.c_per_group}·{spec.r}·{spec.s}; "
            f"{plural(positions, 'column')} = {names.P}·{names.Q} = {spec.p}·{spec.q}."
        ),
        f"Row order is ({names.c}, {names.r}, {names.s}), with {names.s} changing fastest.",
        # CUTLASS, media/docs/implicit_gemm_convolution.md.
        "F.unfold stores this matrix; an implicit GEMM (matrix multiply) forms it in tiles and never stores it whole.",
    ]
    if spec.groups > 1:
        notes.insert(
            1,
            f"Shown are rows {walk.first_row} to {walk.first_row + taps - 1} of {walk.patches.shape[1]}: "
            f"those of group {walk.group}.",
        )
    cost = f"x is {walk.x_nbytes:,} B in fp32, the patch matrix {walk.patches_nbytes:,} B ({walk.growth:.4g}×)."
    aside = f"{tuple_text(walk.x.shape)} → ({names.N}, {names.taps()}, {names.P}·{names.Q})"
    return Step("UNFOLD", aside, body + in_code(walk, "unfold", room, view), notes, cost)


def flatten(walk: Walk, room: int, view: View) -> Step:
    spec, names = walk.spec, view.letters
    groups = "groups × " if spec.groups > 1 else ""
    body = wrap_words(
        [
            Text(f"w_flat → {by_times(walk.w_flat.shape)}", style="bold"),
            Text(f"{groups}output channels × flattened kernel weights"),
        ],
        room,
        space="   ",
    )
    body += flat_kernel(walk, room, view)
    shape = f"({names.K}, {names.taps()})" if spec.groups == 1 else f"(G, {names.K}/G, {names.taps(spec.groups)})"
    notes = [_elements(walk)]
    notes.append(
        f"The same ({names.c}, {names.r}, {names.s}) order as the rows of the patch matrix, so each weight meets its "
        "pixel."
    )
    cost = "none; it is a view." if walk.w_is_view else f"a copy of {walk.w_nbytes:,} B."
    aside = f"{tuple_text(walk.w.shape)} → {shape}"
    return Step("FLATTEN w", aside, body + in_code(walk, "flatten", room, view), notes, cost)


def _meanings(sentences: Sequence[str]) -> list[str]:
    """The words of these sentences that a reader may not know, and what they mean."""
    used = [f"{word}: {meaning}." for word, meaning in MEANINGS.items() if any(word in one for one in sentences)]
    return [" ".join(used)] if used else []


def _elements(walk: Walk) -> str:
    spec = walk.spec
    if spec.c_per_group == 1:
        one = "This value is a kernel element, not a channel."
        return one if spec.taps == 1 else f"These {spec.taps:,} values are kernel elements, not channels."
    return f"These {spec.taps:,} values are kernel elements: {spec.r}·{spec.s} for each of {spec.c_per_group} channels."


def multiply(walk: Walk, room: int, view: View) -> Step:
    spec, names = walk.spec, view.letters
    taps, positions = walk.own.shape
    filters = walk.gemm[0]
    each = " for each group of each image" if spec.groups > 1 else " for each image" if spec.n > 1 else ""
    body = wrap_words(
        [
            Text(f"w_flat {filters}×{taps}", style=KERNEL.style),
            Text("·"),
            Text(f"patches {taps}×{positions}", style=PATCH.style),
            Text("="),
            Text(f"y {filters}×{positions}", style=OUTPUT.style),
            Text(each.strip()),
        ],
        room,
    )
    body += _dot_product(walk, room, view)
    body += flat_output(walk, room, view)
    body += in_code(walk, "multiply", room, view)
    m, n, k = walk.gemm
    cost = (
        f"{plural(walk.macs, 'multiply-add')} (MACs) = {plural(walk.multiplications, 'multiplication')} and "
        f"{plural(walk.additions, 'addition')}; by convention {walk.flops:,} FLOPs, 2 per MAC."
    )
    groups = f" for each of {spec.groups} groups" if spec.groups > 1 else ""
    group = ", g group" if spec.groups > 1 else ""
    side = f", the {spec.n} images next to each other" if spec.n > 1 else ""
    notes = [
        f"b batch, o output channel, p patch dimension (summed over), l sliding location{group}.",
        "Each flattened patch is dot-multiplied with each flattened kernel; the shared index p is summed over.",
        f"output → batch × output_channel × sliding_location = {by_times(walk.y_flat.shape)}."
        if spec.groups == 1
        else f"output → batch × group × output_channel/groups × sliding_location = {by_times(walk.y_flat.shape)}.",
    ]
    if names is CUDNN:
        notes.append(f"As GEMM: M={m} N={n} K={k}{groups}{side}.")
    else:
        notes.append(f"As matrices: {m}×{k} times {k}×{n}{groups}{side}.")
    if walk.on_padding:
        notes.append(f"The cost below includes {walk.on_padding:,} products with zeros of the padding.")
    return Step("MULTIPLY", f"einsum('{walk.formula}', patches, w_flat)", body, notes, cost)


def _dot_product(walk: Walk, room: int, view: View) -> Block:
    """The cell's filter, its column of the patches, their products and the sum."""
    terms = worth_seeing(walk.terms)
    left = left_out(walk.terms, terms)
    more = [Text(f" {left}")] if left else []
    weights = wrap_words(
        [*(in_role(numeral(term.w), KERNEL) for term in terms), *more],
        room,
        lead=f"w_flat[{view.letters.k}={walk.cell.k}] ",
        space="",
    )
    column = wrap_words(
        [*(in_role("·0" if term.padding else numeral(term.x), PATCH) for term in terms), *more],
        room,
        lead=f"· column l={walk.position} ",
        space="",
    )
    products = [Text(f"{'+ ' if i else ''}{_factor(term)}") for i, term in enumerate(terms)]
    sums = [*products, *([Text(f"+ {left}")] if left else []), Text("= ") + in_role(numeral(walk.total), OUTPUT)]
    return [*flow([weights, column], room, gap=1), *wrap_words(sums, room, lead="= ")]


def _factor(term: Term) -> str:
    weight = numeral(term.w) if term.w >= 0 else f"({numeral(term.w).replace('-', '−')})"
    return f"{weight}·{'0' if term.padding else numeral(term.x)}"


def reshape(walk: Walk, room: int, view: View) -> Step:
    cell, names = walk.cell, view.letters
    y = walk.y[cell.n, cell.k]
    body = [*output(walk, room, view, lambda p, q: numeral(y[p, q].item())), *in_code(walk, "reshape", room, view)]
    body += _proof(walk.proof, room)
    notes = ["Back in spatial form: (batch, output_channel, H_out, W_out)."]
    if walk.is_view:
        cost = "none; the reshape is a view: no number moves."
    else:
        notes.append("The groups are not next to each other in memory.")
        cost = f"the reshape copies {walk.y_nbytes:,} B."
    if walk.seen is not None:
        channel, row, column = walk.seen
        name = f"x[{cell.n},{channel},{row},{column}]"
        value = numeral(walk.x[cell.n, channel, row, column].item())
        if walk.seen_readers == 1:
            back = f"{name} = {value} is in 1 patch, so it would come back unchanged"
        else:
            back = (
                f"{name} = {value} is in {plural(walk.seen_readers, 'patch', 'patches')}, so it would come back as "
                f"{numeral(walk.folded[channel, row, column].item())}"
            )
        notes.append(f"F.fold is not this step: it adds overlapping patches into an image the size of x. {back}.")
    flat = f"({names.n}, {names.k}, l)" if walk.spec.groups == 1 else f"({names.n}, g, {names.k}, l)"
    shape = f"({names.n}, {names.k}, {names.P}, {names.Q})"
    whole = [Text(f"{flat} = {tuple_text(walk.y_flat.shape)}"), Text(f"→ {shape} = {tuple_text(walk.y.shape)}")]
    body = [*wrap_words(whole, room), *body]
    aside = f"{tuple_text(walk.y_flat.shape)} → {tuple_text(walk.y.shape)}"
    return Step("RESHAPE + PROOF", aside, body, notes, cost)


def _proof(proof: Sequence[Comparison], room: int) -> Block:
    """A table: what was checked, how many numbers, their largest difference, and what with."""
    rows = [(what, [one for one in proof if one.name in names]) for what, names in CHECKED]
    counts = [f"{sum(one.compared for one in parts):,}" for _, parts in rows]
    label, width = max(len(what) for what, _ in rows), max(len("checks"), *map(len, counts))
    lines = [Text(f"  {'what':<{label}} {'checks':>{width}}  differ by  compared with")]
    for (what, parts), count in zip(rows, counts, strict=True):
        holds, worst = all(one.holds for one in parts), max((one.worst for one in parts), default=0.0)
        row = f" {what:<{label}} {count:>{width}}  {worst:>9.1g}  "
        first, *others = wrap("; ".join(one.against for one in parts), room - len(row) - 1) or [""]
        lines.append(Text() + Text("✓" if holds else "✗", style="green" if holds else "red") + Text(row + first))
        lines += [Text(" " * (len(row) + 1) + other) for other in others]
    return lines


def pytorch(walk: Walk, room: int, view: View) -> Step:
    body: Block = []
    for sentence in view.here or ("Not watched for this page; convbench ran shows it.",):
        body += wrap_words([Text(word) for word in sentence.split()], room)
    body += in_code(walk, "pytorch", room, view)
    return Step("WHAT PYTORCH REALLY DID HERE", "F.conv2d, fp32", body, [*_meanings(view.here), INSIGHT], "")
