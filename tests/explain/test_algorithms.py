"""Do the algorithms show the right numbers, and is each wrong one found?"""

# ruff: noqa: RUF001  # the times signs are meant: this is mathematics as text

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from convbench import ConvSpec
from convbench.errors import ConvbenchError
from convbench.explain.algorithms import implicit_gemm
from convbench.explain.algorithms.catalogue import ALGORITHMS, NotHere, choose, follow
from convbench.explain.algorithms.cook_toom import Transforms, cook_toom
from convbench.explain.algorithms.fft import FFT, Butterflies, relative_error, transform
from convbench.explain.algorithms.implicit_gemm import IMPLICIT_GEMM
from convbench.explain.algorithms.loops import LOOPS
from convbench.explain.algorithms.toeplitz import TOEPLITZ
from convbench.explain.algorithms.trace import Algorithm, Matrix, Trace
from convbench.explain.algorithms.winograd import winograd
from convbench.explain.algorithms.work import Fractions, Work, WorkTally
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.verify.transforms import winograd_matrices

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")
AWKWARD = ConvSpec.parse("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2")
UNIT_STRIDE = ConvSpec.parse("n2c4h7w9k6r3s5_pd1x0_g2")
BY_NAME = {algorithm.name: algorithm for algorithm in ALGORITHMS}
ANSWER = [[44, 54, 64], [84, 94, 104], [124, 134, 144]]


def trace_of(algorithm: Algorithm, spec: ConvSpec = NOTE, **choice: Any) -> Trace:
    return algorithm.run(*small_integers(spec), spec, choose_cell(spec, **choice))


def numbers_of(trace: Trace, label: str) -> Any:
    (matrix,) = (matrix for matrix in trace.matrices if matrix.label == label)
    return (
        matrix.numbers.tolist() if isinstance(matrix.numbers, torch.Tensor) else [list(row) for row in matrix.numbers]
    )


def test_winograd_covers_the_note_in_one_tile_with_16_products() -> None:
    found = trace_of(winograd())
    half = Fraction(1, 2)
    assert found.title == "Winograd F(3×3, 2×2)"
    assert numbers_of(found, "G") == [[1, 0], [1, 1], [1, -1], [0, 1]]
    assert numbers_of(found, "B^T") == [[1, 0, -1, 0], [0, half, half, 0], [0, -half, half, 0], [0, -1, 0, 1]]
    assert numbers_of(found, "A^T") == [[1, 1, 1, 0], [0, 1, -1, 0], [0, 1, 1, 1]]
    assert numbers_of(found, "U") == [[1, 3, -1, 2], [4, 10, -2, 6], [-2, -4, 0, -2], [3, 7, -1, 4]]
    assert numbers_of(found, "V") == [[0, -8, 0, 0], [-2, 17 * half, half, 2], [0, 2, 0, 0], [0, 8, 0, 0]]
    assert numbers_of(found, "Y") == ANSWER
    assert found.counts.core == Work(multiplications=16, additions=0)
    assert found.holds


def test_the_fft_of_the_note_has_the_answer_in_its_corner_and_wraps_around_outside() -> None:
    found = trace_of(FFT)
    full = [[44, 54, 64, 50], [84, 94, 104, 90], [124, 134, 144, 130], [52, 62, 72, 58]]
    assert torch.tensor(numbers_of(found, "IDFT(Z)")).round().tolist() == full
    (matrix,) = (matrix for matrix in found.matrices if matrix.label == "IDFT(Z)")
    assert matrix.aside is not None
    assert matrix.aside.tolist() == [[False, False, False, True]] * 3 + [[True] * 4]
    assert found.y[0, 0].tolist() == ANSWER  # whole numbers, for the bound is far below a half
    assert found.holds


def test_the_toeplitz_matrix_of_the_note_is_9_by_16_with_36_weights() -> None:
    found = trace_of(TOEPLITZ)
    matrix = torch.tensor(numbers_of(found, "T, $k=0"))
    assert matrix.shape == (9, 16)
    assert int((matrix != 0).sum()) == 36
    assert found.facts[0].values == (36, 144)
    assert (matrix @ torch.arange(1.0, 17)).reshape(3, 3).tolist() == ANSWER


@pytest.mark.parametrize(
    ("name", "work", "moved", "extra"),
    [
        ("loops", (36, 27), 4 * (16 + 4 + 9), 0),
        ("unfold-einsum", (36, 27), 4 * (16 + 4 + 9 + 2 * 36), 4 * 36),
        ("unfold-matmul", (36, 27), 4 * (16 + 4 + 9 + 2 * 36), 4 * 36),
        ("implicit-gemm", (36, 27), 4 * (16 + 4 + 9), 4 * (4 * 4 + 4 + 4)),  # a tile of x, of w, and of sums
        ("shift-and-add", (64, 27), 4 * (16 + 4 + 9 + 2 * 64), 4 * 16),
        ("toeplitz", (36, 27), 4 * (16 + 4 + 9 + 2 * 144), 4 * 144),
        ("winograd", (16, 0), 4 * (16 + 4 + 9 + 2 * 48), 4 * 48),  # U, V and their product
        ("fft", (64, 32), 4 * (16 + 4 + 9 + 2 * 96), 4 * 96),  # three complex spectra
    ],
)
def test_the_note_costs_what_can_be_counted_by_hand(name: str, work: tuple[int, int], moved: int, extra: int) -> None:
    found = trace_of(BY_NAME[name])
    assert (found.counts.core.multiplications, found.counts.core.additions) == work
    assert (found.moved_nbytes, found.extra_nbytes) == (moved, extra)


def test_the_transforms_of_the_note_cost_what_can_be_counted_by_hand() -> None:
    # B^T has 4 halves and 4 sums, for 4 columns and 4 rows; A^T 5 sums, for 4 columns and 3 rows; G 2, for 2 and 4.
    counts = trace_of(winograd()).counts
    assert counts.transform == Work(multiplications=4 * (4 + 4), additions=4 * (4 + 4) + 5 * (4 + 3))
    assert counts.weights == Work(multiplications=0, additions=2 * (2 + 4))
    # A 4x4 plane has 4 stages of 8 butterflies, each 4 products and 6 sums; the inverse divides 16 numbers.
    fft = trace_of(FFT).counts
    assert fft.transform == Work(multiplications=2 * 32 * 4 + 16, additions=2 * 32 * 6)
    assert fft.weights == Work(multiplications=32 * 4, additions=32 * 6)


@pytest.mark.parametrize(("m", "r"), [*product(range(1, 7), range(1, 6)), (2, 9), (8, 8)])
def test_cook_and_toom_s_matrices_are_a_convolution_for_all_numbers(m: int, r: int) -> None:
    found = cook_toom(m, r)
    assert [len(matrix) for matrix in (found.at, found.g, found.bt)] == [m, m + r - 1, m + r - 1]
    assert found.is_convolution()


def test_one_wrong_number_in_them_is_no_convolution() -> None:
    found = cook_toom(4, 3)
    for name in ("at", "g", "bt"):
        matrix: Fractions = getattr(found, name)
        for i, j in product(range(len(matrix)), range(len(matrix[0]))):
            rows = [list(row) for row in matrix]
            rows[i][j] += Fraction(1, 24)
            wrong: Transforms = replace(found, **{name: tuple(map(tuple, rows))})
            assert not wrong.is_convolution(), (name, i, j)


@pytest.mark.parametrize("points", [(0.0, 1.0, -1.0), (0.0, 1.0, -1.0, 2.0, -2.0)])
def test_they_are_the_matrices_of_verify_but_for_the_scale_of_rows(points: tuple[float, ...]) -> None:
    found = cook_toom(len(points) - 1, 3)
    bt, g, at = winograd_matrices(points)
    ours = [torch.tensor([[float(one) for one in row] for row in matrix]).double() for matrix in (found.bt, found.g)]
    assert torch.equal(torch.tensor([[float(one) for one in row] for row in found.at]).double(), at)
    # U and V meet row by row: only the product of the scales counts.
    assert torch.allclose(torch.einsum("ij,ik->ijk", *ours), torch.einsum("ij,ik->ijk", bt, g), atol=1e-12)


def test_winograd_is_exact_on_numbers_that_are_no_whole_ones() -> None:
    thirds = [Fraction(1, 3), Fraction(-2, 7), Fraction(5)]
    pixels = [Fraction(i * i, 11) for i in range(6)]
    found = cook_toom(4, 3)

    def times(matrix: Fractions, numbers: list[Fraction]) -> list[Fraction]:
        return [sum((a * b for a, b in zip(row, numbers, strict=True)), Fraction(0)) for row in matrix]

    products = [u * v for u, v in zip(times(found.g, thirds), times(found.bt, pixels), strict=True)]
    assert times(found.at, products) == [sum(thirds[r] * pixels[p + r] for r in range(3)) for p in range(4)]


def test_winograd_takes_halves_and_refuses_what_it_could_not_hold_exactly() -> None:
    spec, algorithm = ConvSpec.parse("n1c2h6w6k2r3s3"), winograd((4, 4))
    x, w = small_integers(spec)
    found = algorithm.run(x / 8, w / 2, spec, choose_cell(spec))
    assert found.holds
    assert torch.equal(found.y, F.conv2d(x, w) / 16)
    with pytest.raises(ConvbenchError, match=r"finer than 2\^-23"):
        algorithm.run(x / 3, w, spec, choose_cell(spec))
    with pytest.raises(ConvbenchError, match=r"above 2\^53"):
        algorithm.run(x * 2**45, w, spec, choose_cell(spec))


@pytest.mark.parametrize("tile", [(1, 1), (2, 4), (4, 3), (6, 2)])
def test_any_tile_of_outputs_gives_the_same_answer(tile: tuple[int, int]) -> None:
    found = trace_of(winograd(tile), UNIT_STRIDE)
    assert found.holds
    assert found.name == f"winograd-{tile[0]}x{tile[1]}"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("winograd", "n1c1h9w9k1r3s3_st2", "a stride of 2 would split .* 4 convolutions with stride 1"),
        ("winograd", "n1c1h9w9k1r3s3_dl3x1", "a dilation of 3x1 would split .* 3 convolutions with dilation 1"),
        ("winograd", "n1c1h20w20k1r11s11", "tiles of 12×12 need 11 points besides infinity"),
        ("winograd", "n1c999h9w9k1r7s7", r"of 999 channels has numbers above 2\^53"),
        ("winograd", "n1c64h999w999k64r3s3", "the transformed tiles would have"),
        ("loops", "n1c64h56w56k64r3s3_pd1", "115,605,504 products one by one"),
        ("toeplitz", "n1c64h56w56k64r3s3_pd1", "the matrix would have 40,282,095,616 numbers"),
        ("fft", "n1c64h56w56k64r3s3_pd1", "the spectra would have 17,301,504 numbers"),
        ("unfold-matmul", "n1c64h999w999k64r3s3", "the patch matrix would have"),
        ("shift-and-add", "n1c1h999w999k64r3s3", "each 1×1 product would have"),
    ],
)
def test_what_an_algorithm_does_not_do_is_said_in_words(name: str, text: str, told: str) -> None:
    assert re.search(told, BY_NAME[name].why_not(ConvSpec.parse(text)) or "")


def test_only_winograd_leaves_out_an_awkward_problem_and_all_agree_with_the_walk() -> None:
    found = walk(*small_integers(AWKWARD), AWKWARD, choose_cell(AWKWARD))
    traces = list(follow(found, ALGORITHMS))
    assert [one.name for one in traces if isinstance(one, NotHere)] == ["winograd"]
    for trace in traces:
        if isinstance(trace, Trace):
            assert trace.holds, trace.proof
            assert torch.equal(trace.y, found.y)
            assert [one.against for one in trace.proof if one.name == "answer"][-1] == "the walk"


def test_algorithms_are_chosen_by_name_and_a_wrong_name_is_answered_with_all() -> None:
    assert [one.name for one in choose("FFT, winograd,fft")] == ["fft", "winograd"]
    assert choose("all") == ALGORITHMS
    assert [one.name for one in choose("winograd-4,winograd-4x2")] == ["winograd-4x4", "winograd-4x2"]
    with pytest.raises(ConvbenchError, match=r"unknown algorithm 'strassen': choose from .*loops, .*winograd-4x2"):
        choose("loops,strassen")


@pytest.mark.parametrize("spec", [NOTE, AWKWARD], ids=str)
def test_only_the_tiles_of_implicit_gemm_are_held_without_being_moved(spec: ConvSpec) -> None:
    found = follow(walk(*small_integers(spec), spec, choose_cell(spec)), ALGORITHMS)
    traces = [one for one in found if isinstance(one, Trace) and one.extra_nbytes]
    unmoved = [one.name for one in traces if one.moved_nbytes == spec.nbytes("fp32")]
    assert unmoved == ["implicit-gemm"]


@pytest.mark.parametrize("text", ["n1c1h4w4k1r2s2", "n2c3h9w8k5r3s4_st2_pd1", "n1c1h40w40k3r5s5_g1"])
def test_the_map_of_implicit_gemm_goes_both_ways(text: str) -> None:
    spec = ConvSpec.parse(text)
    outputs = torch.cartesian_prod(*(torch.arange(size) for size in (spec.n, spec.p, spec.q)))
    i = torch.arange(len(outputs))
    assert torch.equal(implicit_gemm.output_of(i, spec), outputs)
    assert torch.equal(implicit_gemm.row_of(outputs, spec), i)
    taps = torch.cartesian_prod(*(torch.arange(size) for size in (spec.c, spec.r, spec.s)))
    k = torch.arange(len(taps))
    assert torch.equal(implicit_gemm.tap_of(k, spec), taps)
    assert torch.equal(implicit_gemm.column_of(taps, spec), k)


def test_a_large_problem_takes_larger_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implicit_gemm, "MAX_TILES", 30)
    assert implicit_gemm.tile_of(AWKWARD) == 8
    assert trace_of(IMPLICIT_GEMM, AWKWARD).holds


def test_a_cell_that_reads_padding_alone_is_shown_too() -> None:
    spec = ConvSpec.parse("n1c1h2w2k1r1s1_pd2")
    for algorithm in ALGORITHMS:
        assert trace_of(algorithm, spec, at=(0, 0)).holds, algorithm.name
    assert numbers_of(trace_of(LOOPS, spec, at=(0, 0)), "$c,$r,$s") == [[], [], [], []]


class Counting:
    """A number that counts the products and sums made with it."""

    made: tuple[int, int] = (0, 0)

    def __mul__(self, _: "Counting") -> "Counting":
        Counting.made = (Counting.made[0] + 1, Counting.made[1])
        return self

    def __add__(self, _: "Counting") -> "Counting":
        Counting.made = (Counting.made[0], Counting.made[1] + 1)
        return self


@pytest.mark.parametrize(("m", "k", "n"), [(2, 3, 4), (5, 1, 2), (1, 7, 1)])
def test_a_tally_counts_what_numbers_that_count_do(m: int, k: int, n: int) -> None:
    Counting.made = (0, 0)
    a, b = (np.array([[Counting() for _ in range(j)] for _ in range(i)]) for i, j in ((m, k), (k, n)))
    _ = a @ b
    tally = WorkTally()
    tally.matmul(torch.ones(m, k), torch.ones(k, n))
    assert (tally.multiplications, tally.additions) == Counting.made


@pytest.mark.parametrize("shape", [(1, 1), (2, 8), (16, 4), (64, 32)])
def test_the_fft_is_torch_s_within_higham_s_bound_and_its_inverse_comes_back(shape: tuple[int, int]) -> None:
    numbers = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    butterflies = Butterflies()
    spectrum = transform(numbers, butterflies)
    want, size = torch.fft.fft2(numbers), shape[0] * shape[1]
    # torch's own error is counted as another one of ours.
    assert float((spectrum - want).norm()) <= 2 * relative_error(size) * float(want.norm())
    assert relative_error(size) < 1e-13
    assert butterflies.count == 3 * size // 2 * (size.bit_length() - 1)
    back = transform(spectrum, Butterflies(), inverse=True)
    assert float((back - numbers).abs().max()) < 1e-13


def test_numbers_so_large_that_a_half_is_within_the_fft_s_bound_are_not_called_exact() -> None:
    spec = ConvSpec.parse("n1c2h9w9k2r3s3_pd1")
    x, w = small_integers(spec)
    found = FFT.run(x * 2**36, w, spec, choose_cell(spec))
    assert found.holds
    assert "exact" not in str(found.facts[-1])
    assert not torch.equal(found.y, found.y.round())
    assert "exact" in str(trace_of(FFT, spec).facts[-1])


# Can each proof fail?


def off_by_one(tensor: torch.Tensor) -> torch.Tensor:
    wrong = tensor.clone().contiguous()
    flat = wrong.view(-1)
    flat[-1] = ~flat[-1] if wrong.dtype == torch.bool else flat[-1] + 1
    return wrong


def spoiled_matrices(trace: Trace, matrix: Matrix) -> Iterator[tuple[str, Trace]]:
    def with_one(wrong: Matrix) -> Trace:
        stages = [
            replace(stage, matrices=tuple(wrong if one is matrix else one for one in stage.matrices))
            for stage in trace.stages
        ]
        return replace(trace, stages=tuple(stages))

    if isinstance(matrix.numbers, torch.Tensor):
        yield "numbers", with_one(replace(matrix, numbers=off_by_one(matrix.numbers)))
    else:
        *rows, last = matrix.numbers
        yield "numbers", with_one(replace(matrix, numbers=(*rows, (*last[:-1], last[-1] + Fraction(1, 1000)))))
        yield "shape", with_one(replace(matrix, numbers=tuple(rows)))
    yield "followed", with_one(replace(matrix, followed=off_by_one(matrix.followed)))
    yield "label", with_one(replace(matrix, label=matrix.label + "?"))
    if matrix.aside is not None:
        yield "aside", with_one(replace(matrix, aside=off_by_one(matrix.aside)))
        yield "no aside", with_one(replace(matrix, aside=None))


def spoiled(trace: Trace) -> Iterator[tuple[str, Trace]]:
    yield "y", replace(trace, y=off_by_one(trace.y))
    for matrix in trace.matrices:
        for what, wrong in spoiled_matrices(trace, matrix):
            yield f"{matrix.label} {what}", wrong
    for at, stage in enumerate(trace.stages):
        for fact in stage.facts:
            for i, value in enumerate(fact.values):
                wrong_fact = replace(fact, values=(*fact.values[:i], value + 1, *fact.values[i + 1 :]))
                facts = tuple(wrong_fact if one is fact else one for one in stage.facts)
                yield (
                    f"{fact.text} {i}",
                    replace(trace, stages=(*trace.stages[:at], replace(stage, facts=facts), *trace.stages[at + 1 :])),
                )
    for field in fields(trace.counts):
        value = getattr(trace.counts, field.name)
        wrongs = (
            [replace(value, multiplications=value.multiplications + 1), replace(value, additions=value.additions + 1)]
            if isinstance(value, Work)
            else [value + 1]
        )
        for wrong_count in wrongs:
            changed: dict[str, Any] = {field.name: wrong_count}
            yield f"counts.{field.name}", replace(trace, counts=replace(trace.counts, **changed))


@pytest.mark.parametrize("name", BY_NAME)
def test_a_wrong_number_of_any_kind_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = BY_NAME[name]
    spec = UNIT_STRIDE if name == "winograd" else AWKWARD
    x, w = small_integers(spec)
    right = algorithm.run(x, w, spec, choose_cell(spec, filter_index=4))
    assert right.holds
    again = algorithm.again(x, w, spec, right.cell)  # once: it does not change with what is spoiled
    fixed = replace(algorithm, again=lambda *_: again)
    count = 0
    for place, wrong in spoiled(right):
        assert not all(one.holds for one in fixed.prove(wrong, x, w)), place
        count += 1
    assert count > 12
    for shown in ("moved_nbytes", "extra_nbytes"):
        with monkeypatch.context() as patched:
            patched.setattr(Trace, shown, property(lambda _: 5))
            assert not all(one.holds for one in fixed.prove(right, x, w)), shown


@pytest.mark.parametrize("name", BY_NAME)
def test_no_matrix_is_compared_with_itself(name: str) -> None:
    algorithm = BY_NAME[name]
    spec = UNIT_STRIDE if name == "winograd" else AWKWARD
    x, w = small_integers(spec)
    cell = choose_cell(spec, filter_index=4)
    shown = algorithm.form(algorithm, x, w, spec, cell).matrices
    for matrix, second in zip(shown, algorithm.again(x, w, spec, cell).matrices, strict=True):
        if isinstance(matrix.numbers, torch.Tensor) and isinstance(second.numbers, torch.Tensor):
            shared = matrix.numbers.untyped_storage().data_ptr() == second.numbers.untyped_storage().data_ptr()
            assert not shared, matrix.label


def test_an_unproved_trace_does_not_hold() -> None:
    assert not replace(trace_of(LOOPS), proof=()).holds
