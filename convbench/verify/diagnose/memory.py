"""Which memory does an implementation read and write? Its own outputs, its inputs as they lie, and nothing else.

What it leaves unwritten, what it changes, what it writes or reads beside its tensors, and an order in memory that is
not the one it takes for granted: each is seen by calls on memory whose every number is known.
"""

from math import nan

import torch
from torch import Tensor

from convbench.call.memory import GUARD, poisoned, same_bits, zoned
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.diagnosis import describe_place, first_output, which_outputs
from convbench.verify.exam import Exam, make_exam

MARK = -1.5 * 2.0**13  # a value for memory that nobody wrote; every dtype holds it, no sum comes to it

# Contiguous and channels last.
ORDERS = {
    "x": ("n c h w", "n h w c"),
    "dy": ("n k p q", "n p q k"),
    "w": ("k c r s", "k r s c"),
}


def find_harm(subject: Subject, exam: Exam, _: Tensor, __: Tensor) -> Cause | None:
    """Inputs that a call changes, and numbers that it writes beside its own tensors or its inputs."""
    case = exam.case
    zones = {name: zoned(one) for name, one in exam.operands.items()}
    own = make_exam(case, *(zone.tensor for zone in zones.values()))
    with poisoned(case.out_shape, exam.first) as buffers:
        subject.call(own)
    changed = [name for name, zone in zones.items() if not same_bits(zone.tensor, exam.operands[name])]
    if changed:
        counts = []
        for name in changed:
            now, given = zones[name].tensor, exam.operands[name]
            moved = int(((now != given) & ~(now.isnan() & given.isnan())).sum())
            counts.append(f"{name} ({moved:,} of {given.numel():,} numbers)" if moved else f"{name} (signs of zeros)")
        return Cause(kind=f"changes {' '.join(changed)}", words=f"the call changes its input {' and '.join(counts)}")
    places = [(f"its input {name}", zone) for name, zone in zones.items()]
    places += [(f"a buffer of {'x'.join(map(str, zone.tensor.shape))} that it asked for", zone) for zone in buffers]
    for words, zone in places:
        before, behind = zone.overwritten
        if before or behind:
            count, where = (behind, "beyond the end of") if behind else (before, "before the start of")
            told = f"it writes {count:,} number{'s' * (count != 1)} {where} {words}"
            return Cause(kind=f"writes {where}", words=told)
    return None


def find_unwritten(subject: Subject, exam: Exam, _: Tensor, __: Tensor) -> Cause | None:
    """Outputs that hold what their memory held before."""
    outs = []
    for value in (nan, MARK):
        with poisoned(exam.case.out_shape, exam.first, value):
            outs.append(subject.run(exam))
    first, second = outs
    # A relu turns NaN into 0 in some implementations, and a bias is added to whatever is there.
    moved = first.isnan() != second.isnan()
    if not moved.any():
        return None
    name = exam.case.out_name
    kept = moved & (second == MARK)
    if torch.equal(kept, moved):
        return Cause(kind="never written", words=f"{_tell_unwritten(kept, name)} never written")
    depend = "depends" if int(moved.sum()) == 1 else "depend"
    words = f"{which_outputs(moved, name)} {depend} on what memory held that nobody has written"
    return Cause(kind="depends on memory", words=words)


def _tell_unwritten(kept: Tensor, name: str) -> str:
    """How "never written" begins: one output, the last some, or the place."""
    flat = kept.flatten()
    count = int(flat.sum())
    if count == flat.numel():
        return "the outputs were"
    index = first_output(kept, name)
    if count == 1:
        return f"{index} was"
    axes = [int(kept.any(dim=tuple(other for other in range(4) if other != axis)).sum()) for axis in range(4)]
    block = 1
    for extent in axes:
        block *= extent
    whole_rows = block == count and sum(extent < size for extent, size in zip(axes, kept.shape, strict=True)) == 1
    if whole_rows:
        return f"the outputs {describe_place(kept, name)} were"
    if bool(flat[-count:].all()):
        return f"the last {count:,} outputs (from {index} on) were"
    return f"{which_outputs(kept, name)} were"


def find_outside(subject: Subject, exam: Exam, _: Tensor, wrong: Tensor) -> Cause | None:
    """Numbers read beside an operand: behind its end, before its start, in its gaps, and why, where that shows.

    NaN shows that they are read at all. With other random numbers in their place an operand that is read from the
    start of its memory, or as if it had no gaps, is the whole answer.
    """
    for place, name in enumerate(list(exam.operands)[:2] if wrong.any() else ()):
        operands = list(exam.operands.values())

        def ask(surroundings: Tensor, place: int = place, operands: list[Tensor] = operands) -> tuple[Tensor, Tensor]:
            """The operand amid such numbers, and the output."""
            own = [*operands]
            own[place] = _amid(surroundings, operands[place])
            return own[place], subject.run(make_exam(exam.case, *own))

        room = _room(subject, operands[place], exact=exam.exact)
        reached = ask(torch.full_like(room, nan))[1].isnan()
        if not reached.any():
            continue
        own, out = ask(room)
        reached &= ~out.isnan()
        if not reached.any():
            continue
        begins, strides = own.storage_offset(), tuple(own.stride())
        for kind, words, read in (
            ("layout", f"{name} is read as if it were contiguous; its strides are {strides}", read_as_contiguous(own)),
            (
                "offset",
                f"{name} is read from the start of its memory, where it begins {begins:,} numbers later",
                own.as_strided(own.shape, own.stride(), 0),
            ),
        ):
            others = [*operands]
            others[place] = read
            asked = make_exam(exam.case, *others)
            if not torch.equal(read, own) and bool((subject.shares(out, asked) <= 1).all()):
                return Cause(kind=f"{kind} of {name}", words=words)
        for words, part in _parts(own, len(room)):
            surroundings = room.clone()
            surroundings[part] = nan
            lost = ask(surroundings)[1].isnan() & ~out.isnan()
            if lost.any():
                told = f"it reads {words} {name}: NaN that lies there reaches {which_outputs(lost, exam.case.out_name)}"
                return Cause(kind=f"reads {words} {name}", words=told)
    return None


def _room(subject: Subject, operand: Tensor, *, exact: bool) -> Tensor:
    """Memory for an operand with as much before and behind it as a guard is wide: numbers of the size of its own."""
    size = _start(operand) + max(_reach(operand), operand.numel()) + GUARD
    most = max(1, int(operand.abs().max())) if exact and operand.numel() else 1
    numbers = subject.draw((size,), -most, most, seed=51)
    if not exact:
        numbers = torch.randn((size,), generator=subject.generator(52), dtype=torch.float64).to(operand.device)
    return numbers.to(operand.dtype)


def _amid(room: Tensor, operand: Tensor) -> Tensor:
    """The operand in the middle of such memory, with its own strides."""
    own = room.clone().as_strided(operand.shape, operand.stride(), _start(operand))
    own.copy_(operand)
    return own


def _parts(own: Tensor, size: int) -> list[tuple[str, Tensor]]:
    """The numbers of its memory that are not an operand's own: behind it, before it, between."""
    start, end = own.storage_offset(), own.storage_offset() + _reach(own)
    places = torch.arange(size, device=own.device)
    mine = torch.zeros(size, dtype=torch.bool, device=own.device)
    mine.as_strided(own.shape, own.stride(), start).fill_(True)
    return [
        ("beyond the end of", places >= end),
        ("before the start of", places < start),
        ("the gaps between the numbers of", (places >= start) & (places < end) & ~mine),
    ]


def _start(operand: Tensor) -> int:
    """Where it lies in memory of its own: behind a guard, as far from an aligned address as now."""
    return GUARD + int(operand.storage_offset()) % GUARD


def _reach(operand: Tensor) -> int:
    """How many numbers lie from its first to its last."""
    steps = zip(operand.shape, operand.stride(), strict=True)
    return 1 + sum((size - 1) * stride for size, stride in steps)


def find_layout(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """An operand whose order in memory is not the one that the kernel takes it for."""
    operands = list(exam.operands.values())
    for place, name in enumerate(list(exam.operands)[:2]):
        operand, own = operands[place], [*operands]
        if operand.is_contiguous() or not wrong.any():
            continue
        own[place] = operand.contiguous()
        plain = make_exam(exam.case, *own, drawn=exam.drawn, exact=exam.exact)
        if (subject.shares(subject.run(plain), plain) > 1).any():
            continue
        own[place] = read_as_contiguous(operand)
        asked = subject.exam(*own, exact=exam.exact)
        finite = asked.truth.y.isfinite()
        explained = torch.equal(out.isfinite(), finite) and bool((subject.shares(out, asked) <= 1)[finite].all())
        if not explained:
            words = f"it is right with a contiguous {name}, and wrong with one of strides {operand.stride()}"
        elif operand.is_contiguous(memory_format=torch.channels_last):
            words = f"{name} lies in memory in the order {ORDERS[name][1]} and is read in the order {ORDERS[name][0]}"
        else:
            words = f"{name} is read as if it were contiguous; its strides are {operand.stride()}"
        return Cause(kind=f"layout of {name}", words=words)
    return None


def read_as_contiguous(operand: Tensor) -> Tensor:
    """The numbers that lie where those of a contiguous tensor would; NaN beyond the memory of this one."""
    storage = operand.as_strided((operand.untyped_storage().nbytes() // operand.element_size(),), (1,), 0)
    held = storage[operand.storage_offset() :][: operand.numel()]
    read = torch.full((operand.numel(),), nan, dtype=operand.dtype, device=operand.device)
    read[: len(held)] = held
    return read.reshape(operand.shape)
