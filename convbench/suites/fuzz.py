"""Random cases that look for faults: small, legal, and often where implementations go wrong.

The sizes are those of `suites/cover.py`, where blocks end, with primes among them; the numbers of outputs are drawn
as those of channels are. Strides go beyond the kernel, padding goes beyond it too, groups are uneven or depthwise,
images are rows or columns, and now and then a batch is empty.
"""

from collections.abc import Iterator, Sequence
from random import Random

from convbench.case import DTYPES, LAYOUTS, PASSES, Case, Problem
from convbench.spec import ConvSpec, Pair, same_sides
from convbench.suites import cover

# Within these a case takes milliseconds with any backend; the bytes are those of fp64, of the patch matrix too.
MOST_MACS, MOST_NBYTES = 1_000_000, 2_000_000

_SMALL = (1, 2, 3, 5, 7, 11, 13)
_CHANNELS = (*_SMALL, *map(int, cover.SIZES))
_SIZES = (*_SMALL, 6, 23, *map(int, cover.SIZES))
_BATCHES = (1, 1, 1, *cover.BATCHES, 5, 17, 33)
_KERNELS = (1, 1, 2, 3, 3, 3, 4, 5, 7)
_FORMS = tuple((int(form[0]), int(form[2])) for form in cover.KERNELS)
_LONG = (9, 10, 11, 16, 17)


def fuzz(
    seed: int,
    *,
    dtypes: Sequence[str] = DTYPES,
    layouts: Sequence[str] = LAYOUTS,
    precisions: Sequence[str] = ("ieee",),
    devices: Sequence[str] = ("cpu",),
    passes: Sequence[str] = PASSES,
    epilogues: Sequence[str] = ("none",),
    accuracies: Sequence[str] = ("standard",),
) -> Iterator[Case]:
    """Endless cases of the suite "fuzz", each named by its sizes; the same seed and axes give the same ones.

    Every axis of a case is drawn among the values given; `seed` is its operands' too.
    """
    random = Random(seed)  # noqa: S311  # nothing is kept secret
    while True:
        spec = _draw(random)
        dtype, pass_ = random.choice(dtypes), random.choice(passes)
        yield Case(
            problem=Problem(suite="fuzz", name=str(spec), spec=spec, source=f"seed {seed}"),
            dtype=dtype,
            layout=random.choice(layouts),
            precision=random.choice(precisions) if dtype == "fp32" else "ieee",
            device=random.choice(devices),
            seed=seed,
            pass_=pass_,
            epilogue=random.choice(epilogues) if pass_ == "fprop" else "none",
            accuracy=random.choice(accuracies) if len(accuracies) > 1 else accuracies[0],
        )


def _draw(random: Random) -> ConvSpec:
    """A legal problem within the limits; one that is not is drawn again, whole, so none is favoured."""
    while True:
        groups = random.choice((1, 1, 1, 2, 3, 4, random.choice(_CHANNELS)))
        depthwise = random.random() < 0.2
        c = random.choice(_CHANNELS) if depthwise else groups * random.choice(_CHANNELS)
        groups = c if depthwise else groups
        k = groups * random.choice((1, 1, 2, 3) if depthwise else _CHANNELS)
        r, s = random.choice(_FORMS) if random.random() < 0.6 else (random.choice(_KERNELS), random.choice(_KERNELS))
        if random.random() < 0.2:  # 1xN, and Nx1
            r, s = random.sample((1, random.choice((2, 3, 5, *_LONG))), 2)
        dilation = _pair(random, (1, 1, 1, 1, 2, 3))
        padding = _pair(random, (0, 0, 1, 1, 2, 3)) if random.random() < 0.85 else _beyond(random, (r, s))
        stride = _pair(random, (1, 1, 1, 2, 3)) if random.random() < 0.85 else _beyond(random, (r, s))
        if random.random() < 0.03:  # patches
            r, s = stride = _pair(random, _LONG)
        extent = (dilation[0] * (r - 1) + 1, dilation[1] * (s - 1) + 1)
        end: Pair | None = None
        kind = random.random()
        if kind < 0.15:
            top, bottom, left, right = same_sides((r, s), dilation)
            padding, end = (top, left), (bottom, right)
        elif kind < 0.25:
            more = _pair(random, (0, 1, 2, 3))
            end = (padding[0] + more[0], padding[1] + more[1])
            padding, end = random.sample((padding, end), 2)
        around = [sum(sides) for sides in zip(padding, end or padding, strict=True)]
        h, w = random.choice(_SIZES), random.choice(_SIZES)
        if random.random() < 0.5:  # it is the outputs that a kernel has tiles of
            p, q = random.choice(_SMALL), random.choice(_SIZES)
            h, w = (
                (out - 1) * each + reach - pads + random.randrange(each)
                for out, each, reach, pads in zip((p, q), stride, extent, around, strict=True)
            )
        if random.random() < 0.1:  # as large as the kernel allows: one row of outputs
            h = max(1, extent[0] - around[0])
        if random.random() < 0.1:
            w = max(1, extent[1] - around[1])
        if min(h, w) < 1 or h + around[0] < extent[0] or w + around[1] < extent[1]:
            continue
        spec = ConvSpec(
            n=0 if random.random() < 0.02 else random.choice(_BATCHES),
            c=c,
            h=h,
            w=w,
            k=k,
            r=r,
            s=s,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            padding_end=end,
        )
        nbytes = max(spec.nbytes("fp64"), spec.patch_matrix_nbytes("fp64"))
        if spec.macs <= MOST_MACS and nbytes <= MOST_NBYTES:
            return spec


def _pair(random: Random, values: Sequence[int]) -> tuple[int, int]:
    """Two values, usually equal."""
    one = random.choice(values)
    return (one, one) if random.random() < 0.6 else (one, random.choice(values))


def _beyond(random: Random, kernel: tuple[int, int]) -> tuple[int, int]:
    """Just more than the kernel."""
    return (kernel[0] + random.randint(0, 2), kernel[1] + random.randint(0, 2))
