"""Where are the wrong outputs, as text?"""

from torch import Tensor

# What the four axes of an output are called.
AXES = {
    "y": ("image n", "output channel k", "output row p", "output column q"),
    "dx": ("image n", "input channel c", "input row h", "input column w"),
    "dw": ("output channel k", "weight channel c", "kernel row r", "kernel column s"),
}


def diagnose(out: Tensor, y: Tensor, wrong: Tensor, share: Tensor, name: str, unit: str = "its bound") -> str:
    """One line: how many outputs of y, dx or dw are wrong, where they are, and the worst of them.

    `share` is each error in the unit that is named; "" if it has none.
    """
    count, total = int(wrong.sum()), wrong.numel()
    worst = tuple(int(i) for i in (share.where(wrong, -1.0) == share.where(wrong, -1.0).max()).nonzero()[0])
    place = ("all of them" if total > 1 else "the only one") if count == total else describe_place(wrong, name)
    got, expected = tell_apart(float(out[worst]), float(y[worst]))
    amount = f" ({float(share[worst]):.3g} times {unit})" if unit else ""
    return (
        f"{count:,} of {total:,} output{'s' * (total != 1)} wrong, {place}; worst {name}[{','.join(map(str, worst))}]: "
        f"got {got}, expected {expected}{amount}"
    )


def tell_apart(got: float, expected: float) -> tuple[str, str]:
    """Both numbers with six digits, or with enough to show that they differ."""
    for digits in range(6, 17):
        words = f"{got:.{digits}g}", f"{expected:.{digits}g}"
        if words[0] != words[1]:
            break
    else:
        words = f"{got:.17g}", f"{expected:.17g}"
    return words


def describe_place(wrong: Tensor, name: str, among: Tensor | None = None) -> str:
    """The rows, columns, channels or images that hold every wrong output.

    Args:
        among: the outputs that could be wrong; a property of all of them is not reported. All by default.
    """
    places: list[tuple[float, str]] = []
    for axis, (words, size) in enumerate(zip(AXES[name], wrong.shape, strict=True)):
        others = tuple(other for other in range(4) if other != axis)
        hit = [int(i) for i in wrong.any(dim=others).nonzero().flatten()]
        possible = size if among is None else int(among.any(dim=others).sum())
        if len(hit) < possible:
            places.append((len(hit) / size, _describe_indices(words, hit, size)))
    places.sort(key=lambda place: place[0])  # the narrowest says most
    return "in " + ", ".join(place for _, place in places) if places else "scattered over every row, column and channel"


def _describe_indices(name: str, hit: list[int], size: int) -> str:
    noun, letter = name.rsplit(" ", 1)
    if hit == [size - 1]:
        return f"the last {noun} ({letter}={size - 1})"
    if hit == [0]:
        return f"the first {noun} ({letter}=0)"
    if len(hit) == 1:
        return f"{noun} {letter}={hit[0]}"
    if hit == list(range(hit[0], hit[-1] + 1)):
        return f"{noun}s {letter}={hit[0]}..{hit[-1]}"
    listed = ",".join(str(i) for i in hit[:6]) + (",..." if len(hit) > 6 else "")
    return f"{len(hit)} {noun}s ({letter}={listed})"


def which_outputs(which: Tensor, name: str) -> str:
    """The outputs, as "all outputs", "y[0,3,2,5]" or "18 outputs in the last output row (p=8)"."""
    count = int(which.sum())
    if count == which.numel():
        return "all outputs" if count > 1 else first_output(which, name)
    return first_output(which, name) if count == 1 else f"{count_outputs(count)} {describe_place(which, name)}"


def count_outputs(count: int, kind: str = "") -> str:
    """As in "1 output", "18 other outputs"."""
    return f"{count:,} {kind}output{'' if count == 1 else 's'}"


def first_output(which: Tensor, name: str) -> str:
    """The first of them, as "y[0,3,2,5]"."""
    return f"{name}[{','.join(str(int(i)) for i in which.nonzero()[0])}]"
