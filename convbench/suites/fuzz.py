"""Random cases that look for faults: small, legal, and often where implementations go wrong.

The sizes are one, two, three, primes and the neighbours of multiples of 4, 8, 16 and 32, where packing
and vectors leave a rest; strides go beyond the kernel, padding goes beyond it too, groups
are uneven or depthwise, images are rows or columns, and now and then a batch is empty.
"""

from collections.abc import Iterator, Sequence
from random import Random

from convbench.case import DTYPES, LAYOUTS, PASSES, Case, Problem
from convbench.spec import ConvSpec, Pair

# Within these a case takes milliseconds with any backend; the bytes are those of fp64, of the patch matrix too.
MOST_MACS, MOST_NBYTES = 1_000_000, 2_000_000

_SMALL = (1, 2, 3, 5, 7, 11, 13)
_CHANNELS = (*_SMALL, 4, 8, 9, 15, 16, 17, 31, 32, 33)
_SIZES = (*_SMALL, 4, 6, 8, 9, 15, 16, 17, 23, 31, 32, 33)
_KERNELS = (1, 1, 2, 3, 3, 3, 4, 5, 7)


def fuzz(
    seed: int,
    *,
    dtypes: Sequence[str] = DTYPES,
    layouts: Sequence[str] = LAYOUTS,
    precisions: Sequence[str] = ("ieee",),
    devices: Sequence[str] = ("cpu",),
    passes: Sequence[str] = PASSES,
    epilogues: Sequence[str] = ("none",),
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
        )


def _draw(random: Random) -> ConvSpec:
    """A legal problem within the limits; one that is not is drawn again, whole, so that none is favoured."""
    while True:
        groups = random.choice((1, 1, 1, 2, 3, 4, random.choice(_CHANNELS)))
        depthwise = random.random() < 0.2
        c = random.choice(_CHANNELS) if depthwise else groups * random.choice(_CHANNELS)
        groups = c if depthwise else groups
        k = groups * random.choice((1, 1, 2, 3) if depthwise else _CHANNELS)
        r, s = random.choice(_KERNELS), random.choice(_KERNELS)
        if random.random() < 0.2:  # 1xN, and Nx1
            r, s = random.sample((1, random.choice((2, 3, 5, 9, 16, 17))), 2)
        dilation = _pair(random, (1, 1, 1, 1, 2, 3))
        padding = _pair(random, (0, 0, 1, 1, 2, 3)) if random.random() < 0.85 else _beyond(random, (r, s))
        stride = _pair(random, (1, 1, 1, 2, 3)) if random.random() < 0.85 else _beyond(random, (r, s))
        h, w = random.choice(_SIZES), random.choice(_SIZES)
        extent = (dilation[0] * (r - 1) + 1, dilation[1] * (s - 1) + 1)
        if random.random() < 0.1:  # as large as the kernel allows: one row of outputs
            h = max(1, extent[0] - 2 * padding[0])
        if random.random() < 0.1:
            w = max(1, extent[1] - 2 * padding[1])
        if h + 2 * padding[0] < extent[0] or w + 2 * padding[1] < extent[1]:
            continue
        end: Pair | None = None
        if random.random() < 0.1:
            more = _pair(random, (0, 1, 2, 3))
            end = (padding[0] + more[0], padding[1] + more[1])
            padding, end = random.sample((padding, end), 2)
        spec = ConvSpec(
            n=0 if random.random() < 0.02 else random.choice((1, 1, 1, 2, 3, 5)),
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
    """Two values, alike more often than not."""
    one = random.choice(values)
    return (one, one) if random.random() < 0.6 else (one, random.choice(values))


def _beyond(random: Random, kernel: tuple[int, int]) -> tuple[int, int]:
    """Just more than the kernel."""
    return (kernel[0] + random.randint(0, 2), kernel[1] + random.randint(0, 2))
