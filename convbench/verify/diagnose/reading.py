"""Which numbers does an output read? One number a position, and the output tells which: of the bias, of w, of x.

With one weight of 1 and the rest zero an output is the pixel that it reads. So what it holds is compared with what it
should hold, and where both differ by a rule, the rule is tried as the whole answer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import gcd

import torch
from torch import Tensor

from convbench.backend import pad_surplus
from convbench.spec import ConvSpec
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.diagnose.suspects import Model, Suspect, convolve_right, matches, together
from convbench.verify.diagnosis import AXES, describe_place
from convbench.verify.exam import Exam
from convbench.verify.oracle import Truth

BASE = 200  # of the digits that are sent: bf16 counts to 256, others further
MOST_ASKS = 40
BIAS_TIMES = {0: "is not added", 2: "is added twice"}  # in some outputs, where once is right
NOTHING = 0  # where an output reads padding alone; positions count from 1


def find_bias(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """Which bias each output adds, where no image adds anything: none, its own twice, or that of another channel."""
    case = exam.case
    if case.epilogue == "none" or not wrong.any():
        return None
    x, w, bias = exam.operands.values()
    y, column = exam.truth.y, bias.double().reshape(1, -1, 1, 1)
    nothing = torch.zeros_like(x)
    times = subject.run(subject.exam(*(one.double() for one in (nothing, w, torch.ones_like(bias))))).double()
    for count, words in BIAS_TIMES.items():
        odd = times == count
        if odd.any() and not odd.all() and bool((odd | (times == 1)).all()):
            truth = Truth(
                y=torch.where(odd, y + (count - 1) * column, y),
                magnitude=exam.truth.magnitude + column.abs(),
                terms=exam.truth.terms,
            )
            if bool((subject.shares(out, exam, truth) <= 1).all()):
                return Cause(kind=f"bias {words}", words=f"the bias {words} {describe_place(odd, case.out_name)}")
            return None
    channels = torch.arange(case.spec.k, device=bias.device)
    got = _send(subject, channels + 1, lambda digits: (nothing, w, digits))
    if got is None:
        return None
    source = got[:1, :, :1, :1].flatten() - 1
    alike = bool((got == got[:1, :, :1, :1]).all()) and bool(((source >= 0) & (source < case.spec.k)).all())
    if not alike or torch.equal(source, channels):
        return None
    moved = y - column + bias.double()[source].reshape(1, -1, 1, 1)
    truth = Truth(y=moved, magnitude=exam.truth.magnitude + column.abs().max(), terms=exam.truth.terms)
    if not bool((subject.shares(out, exam, truth) <= 1).all()):
        return None
    words = tell_map("output channel", "k", source.tolist(), "gets the bias of", "get the bias of")
    return Cause(kind="bias moved", words=words)


def find_weights(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """The output channel whose weights each one takes, in groups; without them it is a channel in the wrong place."""
    case, spec = exam.case, exam.case.spec
    tap = live_tap(spec)
    if case.pass_ != "fprop" or spec.groups == 1 or tap is None or not wrong.any():
        return None
    ones = subject.ones()
    channels = torch.arange(spec.k, device=ones[1].device)

    def operands(digits: Tensor) -> tuple[Tensor, ...]:
        w = torch.zeros_like(ones[1])
        w[:, 0, tap[0], tap[1]] = digits.double()
        return ones[0], w, *ones[2:]

    got = _send(subject, channels + 1, operands)
    if got is None:
        return None
    source = got.amax(dim=(0, 2, 3)) - 1
    if bool((source < 0).any()) or bool((source >= spec.k).any()) or torch.equal(source, channels):
        return None
    each = spec.k_per_group
    groups = source.reshape(spec.groups, each)
    within = bool((groups % each == torch.arange(each, device=source.device)).all())
    whole = within and bool((groups // each == groups[:, :1] // each).all())
    if whole:
        words = tell_map("group", "g", (groups[:, 0] // each).tolist(), "takes the weights of", "take the weights of")
    else:
        words = tell_map("output channel", "k", source.tolist(), "takes the weights of", "take the weights of")
    base = convolve_right(spec)
    suspect = Suspect(cause=Cause(kind="weights moved", words=words), model=lambda x, w: base(x, w[source]))
    return suspect.cause if matches(subject, exam, out, suspect) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPositions:
    """What each output read, in some rounds of other channels: positions in x, counted from 1; NOTHING for padding.

    Attributes:
        got, due: (rounds, N, K, P, Q) int64: what it read, and what it should have read.
        complete: whether every channel was asked for.
    """

    got: Tensor
    due: Tensor
    complete: bool


def find_pixels(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """Pixels of other channels, or of another place in x by an index that wraps, or those of another output."""
    if exam.case.pass_ != "fprop" or not wrong.any():
        return None
    spec = exam.case.spec
    view = subject.backend.view(spec)  # for many kernels an image whose uneven padding is part of it
    reading = read_pixels(subject, view)
    if reading is None or torch.equal(reading.got, reading.due):
        return None
    rules = (replace(one, model=_of_the_view(one.model, spec, view)) for one in _explanations(view, reading))
    return together([one.cause for one in rules if matches(subject, exam, out, one)])


def read_pixels(subject: Subject, view: ConvSpec) -> ReadPositions | None:
    """Which pixel of x each output reads at one tap, of as many channels as there are questions for.

    Args:
        view: the problem as the backend is asked to do it, in whose image a pixel has its position.
    """
    spec = subject.case.spec
    tap = live_tap(spec)
    if tap is None:
        return None
    ones = subject.ones()
    inside = _viewed(ones[0], spec, view) != 0
    everywhere = torch.arange(1, inside.numel() + 1, device=inside.device).reshape(view.x_shape)
    positions = everywhere[inside].reshape(spec.x_shape)
    each, digits = spec.k_per_group, _digits(positions)
    rounds = -(-spec.c_per_group // each)
    asked = min(rounds, max(1, MOST_ASKS // digits))
    got, due = [], []
    for one in range(asked):
        # The last channels first, in which an index is largest.
        channels = (spec.c_per_group - 1 - one * each - torch.arange(each, device=ones[1].device)) % spec.c_per_group
        w = torch.zeros_like(ones[1]).unflatten(0, (spec.groups, each))
        w[:, torch.arange(each, device=w.device), channels, tap[0], tap[1]] = 1
        kernel = w.flatten(0, 1)
        answer = _send(subject, positions, partial(_before, kernel, *ones[2:]))
        if answer is None:
            return None
        subject.pay(calls=0)
        got.append(answer)
        due.append(convolve_right(spec)(positions.double(), kernel).long())
    return ReadPositions(got=torch.stack(got), due=torch.stack(due), complete=asked == rounds)


def _before(*others: Tensor) -> tuple[Tensor, ...]:
    """Digits, which come last here, as the first operand."""
    *rest, digits = others
    return digits, *rest


def _viewed(x: Tensor, spec: ConvSpec, view: ConvSpec) -> Tensor:
    """The image that a backend is given, by which it counts positions."""
    padded: Tensor = x if view == spec else pad_surplus(x, spec)
    return padded


def _of_the_view(model: Model, spec: ConvSpec, view: ConvSpec) -> Model:
    """What a convolution of the image as it is given is of the image itself."""
    return lambda x, w: model(_viewed(x, spec, view), w)


def _explanations(spec: ConvSpec, reading: ReadPositions) -> Iterator[Suspect]:
    """Rules by which the pixels that are read follow from those that should be."""
    base = convolve_right(spec)
    n, c, h, w = spec.x_shape
    got, due = reading.got, reading.due
    read, expected = got - 1, due - 1
    both = (got != NOTHING) & (due != NOTHING)

    # Channels: the same pixel of another one.
    plane, image = h * w, c * h * w
    same_place = bool(((read % plane == expected % plane) & (read // image == expected // image))[both].all())
    if reading.complete and torch.equal(got != NOTHING, due != NOTHING) and same_place:
        source = torch.full((c,), -1, device=got.device)
        source[(expected // plane % c)[both]] = (read // plane % c)[both]
        if bool((source >= 0).all()) and bool((source[expected // plane % c] == read // plane % c)[both].all()):
            words = _tell_channels(spec, source)
            yield _suspect("channels moved", words, lambda x, k: base(x[:, source], k))

    # An index into x that wraps: in a plane, an image, all of x.
    for size, words in {n * image: "x", image: "an image", plane: "a plane"}.items():
        start, inside = expected // size * size, expected % size
        differ = both & (read != expected)
        if not differ.any() or bool((read < start)[both].any()):
            continue
        wrap = 0
        for one in (start + inside - read)[differ].unique().tolist():
            wrap = gcd(wrap, one)
        if 1 < wrap < size and bool((read == start + inside % wrap)[both].all()):
            yield _suspect(
                f"pixels wrap in {words}",
                f"pixels beyond the first {wrap:,} of {words} are read from its start again: the index wraps",
                partial(_convolve_wrapped, base, size, wrap),
            )

    # Outputs: those of another row, column or place in the plane.
    for axis, letter in ((3, "p"), (4, "q")):
        there = _same_slices(got.movedim(axis, 0).flatten(1), due.movedim(axis, 0).flatten(1))
        if there is not None:
            noun = AXES["y"][axis - 1].rsplit(" ", 1)[0]
            words = tell_map(noun, letter, there, "holds the answer of", "hold the answer of")
            index = torch.tensor(there, device=got.device)
            yield _suspect(f"moved {letter}", words, partial(_pick, base, axis - 1, index))
    flat, right = got.flatten(3), due.flatten(3)
    size = flat.shape[3]
    first = (flat != right).flatten(0, 2).any(dim=0).nonzero()
    wrap = int(first[0]) if len(first) else size
    index = torch.arange(size, device=got.device) % max(1, wrap)
    if 1 < wrap < size and torch.equal(flat, right[..., index]):
        words = f"outputs beyond the first {wrap:,} of a plane hold the answer of those at its start: the index wraps"
        yield _suspect("outputs wrap", words, lambda x, k: base(x, k).flatten(2)[..., index].reshape(spec.y_shape))


def _suspect(kind: str, words: str, model: Model) -> Suspect:
    return Suspect(cause=Cause(kind=kind, words=words), model=model)


def _convolve_wrapped(base: Model, size: int, wrap: int, x: Tensor, w: Tensor) -> Tensor:
    """On x as it is read where an index into each run of so many numbers wraps."""
    return base(x.reshape(-1, size)[:, torch.arange(size, device=x.device) % wrap].reshape(x.shape), w)


def _pick(base: Model, axis: int, index: Tensor, x: Tensor, w: Tensor) -> Tensor:
    """With the rows, columns or channels of the output in another order."""
    return base(x, w).index_select(axis, index)


def _same_slices(got: Tensor, due: Tensor) -> list[int] | None:
    """For each row of `got` one of `due` that equals it, its own first; None if one has none, or all have their own."""
    found = []
    for place, line in enumerate(got):
        if torch.equal(line, due[place]):
            found.append(place)
            continue
        same = (due == line).all(dim=1).nonzero()
        if not len(same):
            return None
        found.append(int(same[0]))
    return found if found != list(range(len(found))) else None


def _tell_channels(spec: ConvSpec, source: Tensor) -> str:
    """Which channels are read from where others lie: of the group, where it is the same in all groups."""
    each = spec.c_per_group
    groups = source.reshape(spec.groups, each)
    within = groups - torch.arange(spec.groups, device=source.device)[:, None] * each
    verbs = ("is read from", "are read from")
    if spec.groups > 1 and each > 1 and bool((within == within[:1]).all()) and bool((within >= 0).all()):
        return "in each group " + tell_map("channel", "c", within[0].tolist(), *verbs)
    return tell_map("channel", "c", source.tolist(), *verbs)


def live_tap(spec: ConvSpec) -> tuple[int, int] | None:
    """The tap that reads the image for the most outputs, the middle one first; None where none does."""
    return _liveliest(spec, 0)


def live_output(spec: ConvSpec) -> tuple[int, int] | None:
    """The row and column of outputs that read the image with the most taps, the middle ones first; None likewise."""
    return _liveliest(spec, 1)


def _liveliest(spec: ConvSpec, summed: int) -> tuple[int, int] | None:
    """Of taps (outputs are summed over, 0) or outputs (taps, 1)."""
    found = []
    for outs, taps, size, axis in ((spec.p, spec.r, spec.h, 0), (spec.q, spec.s, spec.w, 1)):
        rows = torch.arange(outs) * spec.stride[axis] - spec.padding[axis]
        read = rows[:, None] + torch.arange(taps) * spec.dilation[axis]
        counts = ((read >= 0) & (read < size)).sum(dim=summed).tolist()
        most, _, place = max((count, -abs(at - len(counts) // 2), at) for at, count in enumerate(counts))
        if not most:
            return None
        found.append(place)
    return found[0], found[1]


def _send(subject: Subject, numbers: Tensor, operands: Callable[[Tensor], Sequence[Tensor]]) -> Tensor | None:
    """Which of these numbers each output holds: one digit after another is sent, as what `operands` makes of it.

    None where an answer is no digit.
    """
    found = torch.zeros(subject.case.out_shape, dtype=torch.int64, device=numbers.device)
    for place in range(_digits(numbers)):
        digits = numbers // BASE**place % BASE
        out = subject.run(subject.exam(*(one.double() for one in operands(digits)))).double()
        whole = out.round()
        if not bool(((out - whole).abs() < 0.25).all()) or bool((whole < 0).any()) or bool((whole >= BASE).any()):
            return None
        found += whole.long() * BASE**place
    return found


def _digits(numbers: Tensor) -> int:
    most, count = int(numbers.max()), 1
    while most >= BASE**count:
        count += 1
    return count


def tell_map(noun: str, letter: str, source: list[int], one: str, several: str) -> str:
    """Which positions take those of others, as "channels c=8..15 are read from c-8"; the verb of one and of several."""
    wrong = [place for place, origin in enumerate(source) if place != origin]
    origins = {source[place] for place in wrong}
    first, last = wrong[0], wrong[-1]
    run = (
        f"{first}..{last}"
        if len(wrong) == last - first + 1
        else ",".join(map(str, wrong[:6])) + ",..." * (len(wrong) > 6)
    )
    if len(wrong) == 1:
        return f"{noun} {letter}={first} {one} {letter}={source[first]}"
    if len(wrong) == 2 and (source[first], source[last]) == (last, first):
        return (
            f"{noun}s {letter}={first} and {letter}={last} are swapped: {noun} {letter}={first} {one} {letter}={last}"
        )
    if len(origins) == 1:
        return f"{noun}s {letter}={run} {several} {letter}={origins.pop()}"
    shifts = {source[place] - place for place in wrong}
    if len(shifts) == 1:
        return f"{noun}s {letter}={run} {several} {letter}{shifts.pop():+d}"
    if source == list(range(len(source)))[::-1]:
        return f"the {noun}s are in reverse order: {letter}=0 {one} {letter}={source[0]}"
    around = {(source[place] - place) % len(source) for place in wrong}
    if len(around) == 1:
        shift = around.pop()
        shift = shift if shift <= len(source) // 2 else shift - len(source)
        neighbour = "its neighbour " if abs(shift) == 1 else ""
        return f"each {noun} {letter} {one} {neighbour}{letter}{shift:+d}, around the end"
    pairs = ", ".join(f"{letter}={place} of {letter}={source[place]}" for place in wrong[:3])
    return f"the {noun}s are mixed up and {several} others: {pairs}" + (", ..." if len(wrong) > 3 else "")
