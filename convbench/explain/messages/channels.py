"""What torch says of channels, groups and the bias."""

import re
from typing import Any

from convbench.explain.messages.reading import (
    ExampleCall,
    MessageReading,
    by,
    convolution,
    fitted,
    name_w,
    name_x,
    show,
    sizes,
)


def channels(match: re.Match[str]) -> MessageReading:
    kind, groups, w, x = match[1], int(match[2]), sizes(match[3]), sizes(match[4])
    wanted, got = int(match[5]), int(match[6])
    if kind == "transposed":
        return _transposed_channels(w, x, wanted, got)
    c, k = (w[1] if len(w) > 1 else 0), w[0]
    meanings = (
        (f"groups={groups}", "the groups given, G (default 1)"),
        (show(w), name_w(w)),
        (show(x), f"{name_x(x)}; an image without a batch is shown with a leading 1"),
        (f"{wanted} channels", f"what this w reads: groups · w.shape[1] = {groups}·{c}"),
        (f"{got} channels", "what x has: x.shape[1]"),
    )
    fixes: list[tuple[str, ExampleCall]] = []
    if x[-1] == wanted and x[-1] != got:
        moved = (x[0], x[-1], *x[1:-1])
        fixes.append(
            (
                f"x has its {wanted} channels last (NHWC): x.permute(0, 3, 1, 2) moves them to dimension 1.",
                fitted(moved, w, **_g(groups)),
            )
        )
    if groups > 0 and got % groups == 0:
        other = (k, got // groups, *w[2:])
        fixes.append(
            (
                f"Or change the layer: set in_channels to {got} (it is {wanted}); w.shape[1] becomes {got // groups}.",
                fitted(x, other, **_g(groups)),
            )
        )
    if c and got % c == 0 and got // c != groups:
        g = got // c
        if k % g == 0:
            fixes.append(
                (
                    f"Or set groups={g}, if each filter should read only {c} of the {got} channels.",
                    fitted(x, w, groups=g),
                )
            )
        else:
            many = -(-k // g) * g
            fixes.append(
                (
                    (
                        f"Or set groups={g}, if each filter should read only {c} of the {got} channels; the number "
                        f"of filters "
                        "must then "
                        f"be a multiple of {g}, such as {many}."
                    ),
                    fitted(x, (many, *w[1:]), groups=g),
                )
            )
    fixes.append(
        (f"Or change x: give it {wanted} channels, as w reads.", fitted((x[0], wanted, *x[2:]), w, **_g(groups)))
    )
    return MessageReading(
        function=convolution(w),
        meanings=meanings,
        fault=f"w reads {wanted} channels and x has {got}. x.shape[1] must be groups · w.shape[1].",
        fixes=tuple(fixes),
    )


def _g(groups: int) -> dict[str, Any]:
    return {"groups": groups} if groups > 1 else {}


def _transposed_channels(w: tuple[int, ...], x: tuple[int, ...], wanted: int, got: int) -> MessageReading:
    function = f"conv_transpose{len(w) - 2}d"
    return MessageReading(
        function=function,
        meanings=(
            (
                "transposed=1",
                "a transposed convolution: the first size of w is the channels of x, (C_in, C_out/G, kH, kW)",
            ),
            (show(w), f"w: {wanted} channels of x, {w[1]} filters per group, {by(w[2:])} weights"),
            (show(x), name_x(x)),
            (f"{wanted} channels", "what this w reads: w.shape[0]"),
            (f"{got} channels", "what x has: x.shape[1]"),
        ),
        fault=f"w reads {wanted} channels and x has {got}. In a transposed convolution x.shape[1] must be w.shape[0].",
        fixes=(
            (
                f"Change the layer: set in_channels to {got} (it is {wanted}); w.shape[0] becomes {got}.",
                ExampleCall(function=function, operands=(x, (got, *w[1:]))),
            ),
            (
                f"Or change x: give it {wanted} channels.",
                ExampleCall(function=function, operands=((x[0], wanted, *x[2:]), w)),
            ),
        ),
    )


def weight_groups(match: re.Match[str]) -> MessageReading:
    groups, what, least, w = int(match[1]), match[2], int(match[3]), sizes(match[4])
    many = max(1, -(-w[0] // groups)) * groups
    x = (1, w[1] * groups, *(max(8, size) for size in w[2:]))
    rule = f"a multiple of groups={groups}" if what == "divisible by" else f"at least groups={groups}"
    return MessageReading(
        function=convolution(w),
        meanings=(
            (f"groups={groups}", "the groups given, G"),
            (
                f"{least} at dimension 0",
                f"what the number of filters must be: {rule}, as all groups have the same number",
            ),
            (show(w), name_w(w)),
        ),
        fault=f"{groups} groups cannot share {w[0]} filters: w.shape[0] (out_channels) must be a multiple of groups.",
        fixes=(
            (f"Change the layer: set out_channels to {many} (it is {w[0]}).", fitted(x, (many, *w[1:]), groups=groups)),
            (
                "Or leave groups out, if each filter should read every channel of x.",
                fitted((1, w[1], *x[2:]), (max(1, w[0]), *w[1:])),
            ),
        ),
    )


def indivisible(match: re.Match[str]) -> MessageReading:
    side = match[1]
    return MessageReading(
        function="Conv2d",
        meanings=((f"{side}_channels", "C_in, of x" if side == "in" else "C_out, the filters"), ("groups", "G")),
        fault=f"{side}_channels must be a multiple of groups, as all groups get the same number.",
        fixes=(
            (
                "For example, 4 channels, 6 filters and groups=2:",
                ExampleCall(function="conv2d", operands=((1, 4, 8, 8), (6, 2, 3, 3)), options={"groups": 2}),
            ),
        ),
    )


def bias(match: re.Match[str]) -> MessageReading:
    w, wanted, bias = sizes(match[2]), int(match[3]), sizes(match[4])
    x = (1, w[1], *(max(8, size) for size in w[2:]))
    function, options, each = convolution(w), {}, "w.shape[0]"
    if match[1]:
        x, function = (1, w[0], *x[2:]), f"conv_transpose{len(w) - 2}d"
        options, each = _g(max(1, wanted // max(1, w[1]))), "groups · w.shape[1]"
    return MessageReading(
        function=function,
        meanings=(
            (show(w), "w: (C, K/G, R, S)" if match[1] else name_w(w)),
            (f"{wanted} elements", f"{each}: each filter adds one number to all of its outputs"),
            (show(bias), "the given bias"),
        ),
        fault=f"The bias must be a vector of {wanted} numbers, one per filter; this one is {by(bias)}.",
        fixes=(
            (
                f"Change the bias: give it {wanted} numbers.",
                ExampleCall(function=function, operands=(x, w, (wanted,)), options=options),
            ),
        ),
    )
