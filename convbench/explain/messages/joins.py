"""What torch says of tensors that are joined, stacked or given another shape."""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import re
from math import prod

from convbench.explain.messages.reading import ExampleCall, MessageReading, show, sizes


def cat(match: re.Match[str]) -> MessageReading:
    axis, first, other, number = (int(match[i]) for i in (1, 2, 3, 4))
    large, small = max(first, other), min(first, other)
    lost = large - small
    return MessageReading(
        function="torch.cat",
        meanings=(
            (f"dimension {axis}", "the one along which they are joined; all others must be equal"),
            (str(first), "the size of the first tensor in another dimension"),
            (str(other), f"the size of tensor {number} of the list, counted from 0"),
        ),
        fault=f"{first} and {other} cannot be joined. In a U-Net, a pooling has rounded an odd size down, and the "
        "upsampling gives it back too small.",
        fixes=(
            (
                (
                    f"Bring the smaller one to {large}, the size of the skip connection: F.interpolate(up, "
                    "size=skip.shape[2:])."
                ),
                ExampleCall(function="interpolate", operands=((1, 4, small, small),), options={"size": (large, large)}),
            ),
            (
                f"Or pad it by {lost}, for height and width:",
                ExampleCall(
                    function="pad",
                    operands=((1, 4, small, small),),
                    options={"pad": (lost // 2, lost - lost // 2) * 2},
                ),
            ),
            (
                f"Or crop the other one to {small}: skip[..., :{small}, :{small}].",
                ExampleCall(function="cat", operands=((1, 4, small, small), (1, 4, small, small)), options={"dim": 1}),
            ),
            (
                "Or feed images whose sides can be halved at every level, such as multiples of 32 for 5 levels.",
                ExampleCall(function="cat", operands=((1, 4, 32, 32), (1, 4, 32, 32)), options={"dim": 1}),
            ),
        ),
    )


def cat_dimensions(match: re.Match[str]) -> MessageReading:
    first, other = int(match[1]), int(match[2])
    large = max(first, other)
    return MessageReading(
        function="torch.cat",
        meanings=((str(first), "dimensions of the first tensor"), (str(other), "of another one")),
        fault=f"One of them lacks {abs(first - other)} of {large} dimensions, most likely the batch.",
        fixes=(
            (
                "x[None] adds a batch of one in front:",
                ExampleCall(
                    function="cat", operands=((1, *(4,) * (large - 1)), (1, *(4,) * (large - 1))), options={"dim": 0}
                ),
            ),
        ),
    )


def empty_list(_: re.Match[str]) -> MessageReading:
    return MessageReading(
        function="torch.cat",
        meanings=(("a non-empty list", "the tensors to join: there is none"),),
        fault="The list is empty: the loop or the data set before it gave nothing.",
        fixes=(
            (
                "Give it at least one tensor, or skip the call where the list is empty:",
                ExampleCall(function="cat", operands=((1, 4, 8, 8),), options={"dim": 0}),
            ),
        ),
    )


def stack(match: re.Match[str]) -> MessageReading:
    first, other, place = sizes(match[1]), sizes(match[3]), int(match[4])
    fixes: list[tuple[str, ExampleCall]] = []
    if len(first) == len(other) == 3:
        fixes.append(
            (
                (
                    f"Resize all to one size, such as {first[1]}×{first[2]}: a transform in the data set, or "
                    "F.interpolate."
                ),
                ExampleCall(function="interpolate", operands=((1, *other),), options={"size": first[1:]}),
            )
        )
    fixes.append(
        (
            f"All must have one size, such as {show(first)}:",
            ExampleCall(function="stack", operands=(first, first), options={"dim": 0}),
        )
    )
    return MessageReading(
        function="torch.stack",
        meanings=((show(first), f"the size of entry {match[2]}"), (show(other), f"the size of entry {place}")),
        fault="Tensors of different sizes make no batch; a DataLoader stacks what its data set returns.",
        fixes=tuple(fixes),
    )


def view(match: re.Match[str]) -> MessageReading:
    shape, size = sizes(match[1]), int(match[2])
    asked = prod(one for one in shape if one != -1)
    fixes: list[tuple[str, tuple[int, ...]]] = []
    for place in reversed(range(len(shape))):
        rest = prod(one for other, one in enumerate(shape) if other != place and one != -1)
        if -1 not in shape and rest > 0 and size % rest == 0:
            fixes.append((f"{size // rest} for {shape[place]}", (*shape[:place], size // rest, *shape[place + 1 :])))
        elif shape[place] > 0 and -1 in shape and rest > 0 and size % rest == 0:
            left = size // rest
            near = [one for one in range(1, min(left, 100_000) + 1) if left % one == 0]
            near = sorted(sorted(near, key=lambda one: abs(one - shape[place]))[:2])
            fixes += [(f"{one} for {shape[place]}", (*shape[:place], one, *shape[place + 1 :])) for one in near]
    fixes.append(("the batch kept, all else in one, as x.flatten(1) does,", (1, size)))
    product = "·".join(str(one) for one in shape if one != -1) or "1"
    return MessageReading(
        function="reshape",
        meanings=(
            (show(shape), f"the shape asked for: {product} = {asked} numbers{' or a multiple' * (-1 in shape)}"),
            (str(size), "the numbers that x has"),
        ),
        fault=f"{size} numbers are no {show(shape)}: after a convolution it is N·K·P·Q, and one of these is another "
        "than the code says.",
        fixes=tuple(
            (
                f"{'Or ' * (place > 0)}{words}: {show(wanted)}",
                ExampleCall(function="reshape", operands=((size,),), options={"shape": wanted}),
            )
            for place, (words, wanted) in enumerate(fixes)
        ),
    )


def view_stride(_: re.Match[str]) -> MessageReading:
    return MessageReading(
        function="view",
        meanings=(
            (
                "stride",
                "how far apart in memory neighbours are; after permute, transpose or channels_last not in order",
            ),
        ),
        fault="view never copies, and this shape would need a copy.",
        fixes=(
            (
                "Use x.reshape(...), or x.flatten(1), which copy where they must:",
                ExampleCall(function="reshape", operands=((2, 4, 4, 3),), options={"shape": (2, -1)}),
            ),
        ),
    )
