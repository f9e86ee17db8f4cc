"""What is drawn of the steps by the definition: the operands, one output by loops, and the positions?"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from convbench.errors import plural
from convbench.explain import NOTE
from convbench.explain.letters import TORCH
from convbench.explain.sheet import set_text
from convbench.explain.steps import SlidingAxis, Term, Walk
from convbench.show.grid import FAINT, KERNEL, OUTPUT, PATCH, Block, flow, in_role, wrap_words
from convbench.show.steps.tensors import image, kernel, output
from convbench.show.steps.view import TERMS, Step, View, by_times, in_code, left_out, listed, signed, worth_seeing
from convbench.show.units import numeral, seconds, tuple_text
from convbench.spec import ConvSpec

if TYPE_CHECKING:
    from convbench.explain.price import Price

MAPPING = (
    "If you follow the note “How Convolution Is Actually Computed”: its step 1 is convbench run, its step 2 is step 1 "
    "here, its step 3 is steps 2 and 3; 4 to 7 are the same."
)


def operands(walk: Walk, room: int, view: View) -> Step:
    spec, cell = walk.spec, walk.cell
    channels = list(dict.fromkeys(term.channel for term in walk.terms))
    shown = list(enumerate(channels))[view.channel : view.channel + view.channels]
    # Each channel of x next to the kernel's slice for it.
    blocks = [flow([image(walk, channel, room, view), kernel(walk, c, room, view)], room) for c, channel in shown]

    y_block = output(walk, room, view, lambda p, q: "?" if (p, q) == (cell.p, cell.q) else ".")
    body = flow([*blocks, y_block], room)
    if len(channels) > len(shown):
        body.append(Text(f"… {plural(len(channels) - len(shown), 'more channel')} of x and of w", style=FAINT))
    for count, noun, option in ((spec.k, "more filter", "--filter"), (spec.n, "more image", "--image")):
        if count > 1:
            body.append(Text(f"… {plural(count - 1, noun)}: {option}", style=FAINT))
    legend = [
        in_role("patch", PATCH),
        in_role("kernel", KERNEL),
        in_role("output", OUTPUT),
    ]
    if walk.on_padding:
        legend.append(Text("·0 zero of the padding"))
    body += [Text(), Text("   ").join(legend), *in_code(walk, "operands", room, view)]
    per_group = "input_channel/groups" if spec.groups > 1 else "input_channel"
    notes = [
        f"Input image {by_times(walk.x.shape)}: batch × input_channel × height × width.",
        f"Kernel (filter) {by_times(walk.w.shape)}: output_channel × {per_group} × kernel_height × kernel_width.",
        "Cross-correlation: the kernel is laid on the image as it is, not flipped.",
    ]
    if len(channels) > 1:
        notes.append(f"Each filter has a slice for each of its {len(channels)} channels; their sums are added.")
    if spec.groups > 1:
        notes.append(
            f"{spec.groups} groups: filter {view.letters.k}={cell.k} is in group {walk.group}, which reads "
            f"{listed('channel', channels)} of x only."
        )
    if view.letters is TORCH:
        notes.append(f"Problem name {spec}: {_letters_of_names(spec)}.")
    if str(spec) == NOTE:
        notes.append(MAPPING)
    cost = f"x {walk.x_nbytes:,} B + w {walk.w_nbytes:,} B in, y {walk.y_nbytes:,} B out, in fp32."
    return Step(
        "OPERANDS", f"x {tuple_text(walk.x.shape)} ⋆ w {tuple_text(walk.w.shape)}{_options(walk)}", body, notes, cost
    )


def _options(walk: Walk) -> str:
    """What differs from the plain convolution, as in the text form."""
    _, _, options = str(walk.spec).partition("_")
    return f" · {options.replace('_', ' ')}" if options else ""


def _letters_of_names(spec: ConvSpec) -> str:
    """How `n1c1h4w4k1r2s2_pd1` is read."""
    letters = ["n batch", "c input channels", "h×w image", "k output channels", "r×s kernel"]
    options = {"st": "stride", "pd": "padding", "dl": "dilation", "g": "groups"}
    _, *given = str(spec).split("_")
    return ", ".join(letters + [f"{short} {name}" for short, name in options.items() if _has(given, short)])


def _has(options: Sequence[str], short: str) -> bool:
    return any(option.startswith(short) for option in options)


def one_cell(walk: Walk, room: int, view: View) -> Step:
    spec, cell, names = walk.spec, walk.cell, view.letters
    stride, padding, dilation = spec.stride, spec.padding, spec.dilation
    first_channel = walk.terms[0].channel
    channel = f"{first_channel}+{names.c}" if first_channel else names.c
    body = wrap_words(
        [
            Text(f"y[{names.n},{names.k},{names.p},{names.q}] = Σ"),
            Text(
                f"x[{names.n}, {channel}, {names.p}·{stride[0]}−{padding[0]}+{names.r}·{dilation[0]}, "
                f"{names.q}·{stride[1]}−{padding[1]}+{names.s}·{dilation[1]}]",
                style=PATCH.style,
            ),
            Text("·"),
            Text(f"w[{names.k},{names.c},{names.r},{names.s}]", style=KERNEL.style),
        ],
        room,
    )
    places = [
        [
            (
                f"{letter}={position}: {lines} {position}·{stride[axis]} − {padding[axis]} + "
                f"{set_text(range(taps))}·{dilation[axis]}"
            ),
            f"= {set_text(found)}",
        ]
        for axis, (letter, position, lines, taps, found) in enumerate(
            ((names.p, cell.p, "rows", spec.r, walk.rows), (names.q, cell.q, "columns", spec.s, walk.columns))
        )
    ]
    body += flow([wrap_words([Text(word) for word in place], room) for place in places], room)
    channel_sums = walk.channel_sums
    many = len(channel_sums) > 1
    for c, channel_sum in list(enumerate(channel_sums))[view.channel : view.channel + view.channels]:
        terms = walk.terms_of(c)
        shown = worth_seeing(terms)
        more = [Text(left_out(terms, shown))] if len(shown) < len(terms) else []
        lead = f"{names.c}={c}: " if many else ""
        words = [*_joined([_product(term) for term in shown]), *more]
        body += wrap_words(words, room, lead=lead)
        sums = [Text(word) for word in signed([term.product for term in shown])]
        total = Text(f"= {numeral(channel_sum)}") if many else Text("= ") + in_role(numeral(walk.total), OUTPUT)
        body += wrap_words([Text("="), *sums, *(Text("…") for _ in more), total], room, lead=" " * len(lead))
    if many:
        shown_sums = [Text(word) for word in signed(channel_sums[:TERMS])]
        left = len(channel_sums) - TERMS
        more = [Text(f"… {plural(left, 'more channel')}")] if left > 0 else []
        total = Text("= ") + in_role(numeral(walk.total), OUTPUT)
        body += wrap_words([Text(f"over {names.c}:"), *shown_sums, *more, total], room)
    notes = [f"A flipped kernel (a true convolution) would give {numeral(walk.flipped)} here."]
    if names is TORCH:
        notes.insert(
            0, "b image, o output channel, c input channel, (oh, ow) place in y, (kh, kw) place in the kernel."
        )
    if any(term.padding for term in walk.terms):
        notes.append("The patch hangs over the border: rows and columns outside x are zeros, ·0.")
    cost = f"{plural(len(walk.terms), 'multiplication')} and {plural(len(walk.terms) - 1, 'addition')} for this output."
    formula = f"index = {names.p}·stride − padding + {names.r}·dilation"
    return Step("ONE CELL, BY LOOPS", formula, body + in_code(walk, "loops", room, view), notes, cost)


def _product(term: Term) -> Text:
    return Text() + in_role("·0" if term.padding else numeral(term.x), PATCH) + in_role(numeral(term.w), KERNEL)


def _joined(products: Sequence[Text]) -> list[Text]:
    return [product if not i else Text("+ ") + product for i, product in enumerate(products)]


def positions(walk: Walk, room: int, view: View) -> Step:
    spec, names = walk.spec, view.letters
    body = []
    for letter, axis in zip((names.P, names.Q), walk.axes, strict=True):
        even = axis.padding == axis.padding_end
        padding = f"2·{axis.padding}" if even else f"{axis.padding} + {axis.padding_end}"
        body += wrap_words(
            [
                Text(
                    f"{letter} = ⌊({axis.size} + {padding} − {axis.dilation}·({axis.taps}−1) − 1) / {axis.stride}⌋ + 1"
                ),
                Text(f"= ⌊{axis.room}/{axis.stride}⌋ + 1 = {axis.positions}"),
            ],
            room,
            lead="",
        )
    p, q = (axis.positions for axis in walk.axes)
    body += wrap_words(
        [
            Text(f"{names.P} × {names.Q} = {p} × {q} = {plural(walk.own.shape[1], 'position')} of the kernel"),
            Text("(sliding locations)"),
        ],
        room,
    )
    changes = [Text(f"{variant.change}: {variant.spec.p}×{variant.spec.q}") for variant in walk.variants]
    if changes:
        body += wrap_words(changes, room, lead="what if  ", space="   ")
    notes = _reading_notes(walk.axes)
    if names is TORCH:
        notes.insert(0, _meaning(walk))
    several = [
        word for word, count in (("image", spec.n), ("filter", spec.k), ("channel", spec.c_per_group)) if count > 1
    ]
    each = f", for each {' and '.join(several)}" if several else ""
    notes.append(
        f"Computed directly, this takes nested for-loops over height, width, kernel rows and kernel columns{each}: "
        f"{plural(walk.multiplications, 'iteration')} of the innermost loop. Loops in Python are inefficient and "
        "difficult to parallelize, so there is an intermediate representation: patches."
    )
    if view.prices and view.prices[0].loops_s < view.prices[0].einsum_s:
        notes.append("At this size loops beat unfold + einsum: a PyTorch call has a fixed cost.")
    body += in_code(walk, "positions", room, view)
    for price in view.prices:
        body += _price(price, room)
    outputs = f"{names.N}·{names.K}·{names.P}·{names.Q}"
    cost = f"{outputs} = {plural(walk.y.numel(), 'output')}, each a sum of {plural(len(walk.terms), 'product')}."
    if names is TORCH:
        both = "2P" if spec.padding_end is None else "top + bottom"
        formula = f"H_out = ⌊(H + {both} − D(K − 1) − 1) / S⌋ + 1"
    else:
        both = "2·padding" if spec.padding_end is None else "top + bottom"
        formula = f"⌊(H + {both} − dilation·(R−1) − 1) / stride⌋ + 1"
    return Step("POSITIONS, AND WHY NOT LOOPS", formula, body, notes, cost)


def _meaning(walk: Walk) -> str:
    padding = "" if walk.spec.padding_end is not None else "P padding, "
    return f"{padding}D dilation, K kernel size, S stride; W_out likewise from W."


def _price(price: "Price", room: int) -> Block:
    """What three ways to the same y took."""
    about = "about " if price.estimated else ""
    ways = [
        Text(f"{price.what or 'here and now'}:"),
        Text(f"Python loops {about}{seconds(price.loops_s)},"),
        Text(f"unfold + einsum {seconds(price.einsum_s)},"),
        Text(f"F.conv2d {seconds(price.conv2d_s)}"),
    ]
    return wrap_words(ways, room)


def _reading_notes(axes: tuple[SlidingAxis, SlidingAxis]) -> list[str]:
    lines = list(zip(axes, ("row", "column"), strict=True))
    notes = [
        f"The floor leaves out {plural(axis.rest, line)} at the end of the padded x."
        for axis, line in lines
        if axis.rest
    ]
    unread = [
        f"{len(lost)} of {plural(axis.size, line)} of x {'is' if len(lost) == 1 else 'are'} never read: "
        f"{listed(line, lost)}."
        for axis, line in lines
        if (lost := axis.unread)
    ]
    return notes + (unread or ["Every row and every column of x is read."])
