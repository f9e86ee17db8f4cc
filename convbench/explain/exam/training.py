"""Level 4: what are the gradients, what do other algorithms cost, and how much memory does it take?"""

# ruff: noqa: RUF001  # the minus sign is meant: this is mathematics as text

from math import prod
from random import Random

from convbench.explain.algorithms.toeplitz import TOEPLITZ
from convbench.explain.algorithms.trace import Algorithm, Trace
from convbench.explain.algorithms.winograd import winograd
from convbench.explain.backward import Backward, backward
from convbench.explain.exam.ask import Kind, grid, integers, plane, products, question, walk_of, walk_on
from convbench.explain.letters import Letters
from convbench.explain.quiz import QuizQuestion
from convbench.explain.steps import UnprovedError, Walk, measure_axes
from convbench.spec import ITEM_NBYTES, ConvSpec

GRADIENTS = (-1, 1, 2)


def _backward(random: Random) -> tuple[Walk, Backward]:
    """Both gradients of a 2x2 output."""
    found = walk_of(random, plane((3, 3), (2, 2)))
    return found, _proved(backward(found, integers(random, found.y.shape, GRADIENTS)))


def _proved(found: Backward) -> Backward:
    if not found.holds:
        raise UnprovedError(tuple(one for one in found.proof if not one.holds))
    return found


def _trace(random: Random, algorithm: Algorithm, spec: ConvSpec) -> Trace:
    found = walk_of(random, spec)
    trace = algorithm.run(found.x, found.w, spec, found.cell)
    if not trace.holds:
        raise UnprovedError(tuple(one for one in trace.proof if not one.holds))
    return trace


def weight_gradient(random: Random, _: Letters) -> QuizQuestion:
    found, back = _backward(random)
    r, s = random.randrange(2), random.randrange(2)
    dw, g = back.dw[0, 0], back.g[0, 0]
    pairs = list(zip(found.x[0, 0, r : r + 2, s : s + 2].flatten().tolist(), g.flatten().tolist(), strict=True))
    flipped = zip((x for x, _ in pairs), reversed([one for _, one in pairs]), strict=True)
    return question(
        f"y = conv(x, w), stride 1, no padding, and g is the gradient of the loss for y. What is the gradient of "
        f"w[0,0,{r},{s}]?",
        int(dw[r, s]),
        f"it is the sum of g times the pixels that this weight met: {products(pairs)} = {int(dw[r, s])}",
        grids=(grid("x", found.x[0, 0], "patch"), grid("g", g, "output")),
        slips=(
            (int(sum(x * one for x, one in flipped)), "g is not flipped here"),
            (int(dw[s, r]), "rows come first, then columns"),
            (int(g.sum()), "each gradient is multiplied by the pixel that the weight met"),
        ),
    )


def pixel_gradient(random: Random, _: Letters) -> QuizQuestion:
    found, back = _backward(random)
    row, column = random.choice(((0, 1), (1, 0), (1, 1), (1, 1), (1, 2), (2, 1)))
    dx = back.dx[0, 0]
    flipped = walk_on(found.x, found.w.flip(2, 3), found.spec, found.cell)
    wrong = _proved(backward(flipped, back.g)).dx[0, 0]
    pairs = [
        (found.w[0, 0, row - p, column - q].item(), back.g[0, 0, p, q].item())
        for p in range(2)
        for q in range(2)
        if 0 <= row - p < 2 and 0 <= column - q < 2
    ]
    return question(
        "y = conv(x, w) of a 3x3 image, stride 1, no padding, and g is the gradient of the loss for y. What is the "
        f"gradient of x[0,0,{row},{column}]?",
        int(dx[row, column]),
        f"it is the sum over the {len(pairs)} outputs that read the pixel, each g times the weight with which it was "
        f"read: {products(pairs)} = {int(dx[row, column])}",
        grids=(grid("w", found.w[0, 0], "kernel"), grid("g", back.g[0, 0], "output")),
        slips=(
            (int(wrong[row, column]), "on the way back the kernel is flipped"),
            (int(dx[column, row]), "rows come first, then columns"),
        ),
    )


def readers(random: Random, _: Letters) -> QuizQuestion:
    size, kernel, stride = random.randint(5, 7), random.choice((2, 3)), random.randint(1, 2)
    spec = plane((size, size), (kernel, kernel), stride=stride, padding=random.randint(0, 1))
    axes = measure_axes(spec)
    row, column = random.randrange(size), random.randrange(size)
    down, across = int(axes[0].readers[row]), int(axes[1].readers[column])
    return question(
        f"A {size}x{size} image, a {kernel}x{kernel} kernel, stride {stride}, padding {spec.padding[0]}. From how many "
        f"outputs does x[0,0,{row},{column}] get gradient?",
        down * across,
        f"windows that hold row {row}: {down}; windows that hold column {column}: {across}; {down}·{across} = "
        f"{down * across}",
        slips=(
            (kernel * kernel, "near the border, or with a stride, not every kernel element reaches the pixel"),
            (down + across, "the two counts are multiplied, not added"),
        ),
    )


def output_padding(random: Random, letters: Letters) -> QuizQuestion:
    size, kernel, stride, padding = random.randint(7, 16), random.choice((2, 3, 4)), random.randint(2, 4), 1
    rows = measure_axes(plane((size, size), (kernel, kernel), stride=stride, padding=padding))[0]
    back = size - rows.rest
    return question(
        f"A {kernel}x{kernel} convolution with stride {stride} and padding {padding} makes {rows.positions} rows from "
        f"{size}. Which output_padding does nn.ConvTranspose2d need to make {size} rows again?",
        rows.rest,
        f"({letters.P}−1)·stride − 2·padding + {letters.R} = {rows.positions - 1}·{stride} − 2·{padding} + {kernel} = "
        f"{back}, and {size} − {back} = {rows.rest}: the rows that the floor left out",
        slips=(
            (stride - 1, "that is the most it can be; it depends on the size"),
            (padding, "that is the padding of the convolution"),
        ),
    )


def _layer(random: Random) -> ConvSpec:
    size = random.choice((8, 10, 16))
    channels, filters = (random.choice((2, 4, 8)) for _ in range(2))
    return ConvSpec(
        n=random.choice((1, 2, 4)), c=channels, h=size, w=size, k=filters, r=3, s=3, padding=(1, 1), groups=1
    )


def patch_bytes(random: Random, letters: Letters) -> QuizQuestion:
    spec, dtype = _layer(random), random.choice(("fp32", "fp16"))
    item = ITEM_NBYTES[dtype]
    nbytes = spec.patch_matrix_nbytes(dtype)
    x = prod(spec.x_shape) * item
    return question(
        f"x is {'x'.join(map(str, spec.x_shape))}, the kernel 3x3, padding 1, stride 1. How many bytes does the whole "
        f"patch matrix take in {dtype}?",
        nbytes,
        f"{letters.N}·({letters.taps()})·({letters.P}·{letters.Q})·{item} = "
        f"{spec.n}·{spec.c * spec.r * spec.s}·{spec.p * spec.q}·{item} = {nbytes}, {nbytes / x:g} times x",
        slips=(
            (nbytes // item, f"that is how many numbers; each takes {item} bytes"),
            (x, "that is x; in the patch matrix almost every pixel is there nine times"),
            (nbytes // spec.n, "that is one image"),
            (nbytes // spec.c, "every channel has rows of its own"),
        ),
    )


def winograd_products(random: Random, letters: Letters) -> QuizQuestion:
    p, q = (2 * random.randint(1, 4) for _ in range(2))
    channels, filters = random.randint(1, 3), random.randint(1, 3)
    spec = ConvSpec(n=1, c=channels, h=p + 2, w=q + 2, k=filters, r=3, s=3)
    made = _trace(random, winograd((2, 2)), spec).counts.core.multiplications
    tiles = (p // 2) * (q // 2)
    return question(
        f"Winograd's F(2x2, 3x3) makes a {p}x{q} output from {letters.C} = {channels} and {letters.K} = {filters} "
        "channels. How many multiplications does it take between the transformed tiles of x and w?",
        made,
        f"{tiles} tiles of 4x4, each for every pair of channels: {tiles}·16·{channels}·{filters} = {made}; directly it "
        f"is {spec.macs}, {spec.macs / made:g} times as many",
        slips=(
            (spec.macs, "that is the direct way: 9 for each output and pair of channels"),
            (tiles * 16, "each pair of an input and an output channel has its own"),
            (tiles * 4 * channels * filters, "a tile of 2x2 outputs takes 4x4 products"),
        ),
    )


def toeplitz_shape(random: Random, letters: Letters) -> QuizQuestion:
    spec = plane((random.randint(3, 6), random.randint(3, 6)), (2, random.choice((2, 3))))
    matrix = _trace(random, TOEPLITZ, spec).matrices[0].numbers
    rows, columns = len(matrix), len(matrix[0])
    return question(
        f"A {spec.h}x{spec.w} image, a {spec.r}x{spec.s} kernel, stride 1, no padding, written as one matrix T with "
        "y = T·vec(x). What is the shape of T? (rows,columns)",
        (rows, columns),
        f"a row for each of {letters.P}·{letters.Q} = {spec.p}·{spec.q} outputs, a column for each of "
        f"{letters.H}·{letters.W} = {spec.h}·{spec.w} pixels; {spec.taps} numbers in a row are not zero",
        slips=(
            ((columns, rows), "T maps x to y, so its rows are the outputs"),
            ((spec.taps, rows), "that is the patch matrix of F.unfold"),
            ((rows, spec.taps), "a row has a place for every pixel, and zeros where the kernel is not"),
        ),
    )


def padding_products(random: Random, _: Letters) -> QuizQuestion:
    size, padding = random.randint(3, 6), 1
    found = walk_of(random, plane((size, size), (3, 3), padding=padding))
    spec = found.spec
    inside = found.macs - found.on_padding
    return question(
        f"A {size}x{size} image, one channel, one 3x3 kernel, padding 1, stride 1. How many of its {found.macs} "
        "multiplications are with a zero of the padding?",
        found.on_padding,
        f"along an axis {measure_axes(spec)[0].readers.sum()} of {3 * spec.p} reads are inside x, so "
        f"{found.macs} − {inside} = {found.on_padding}",
        slips=(
            (inside, "those are the others, with a pixel of x"),
            (4 * (size + 1), "that is how many zeros the border has; most are read more than once"),
        ),
    )


KINDS: tuple[Kind, ...] = (
    weight_gradient,
    pixel_gradient,
    readers,
    output_padding,
    patch_bytes,
    winograd_products,
    toeplitz_shape,
    padding_products,
)
