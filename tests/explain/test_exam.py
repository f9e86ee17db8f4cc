"""Is every answer of a quiz right, worked out from its own words in another way, and is a usual mistake recognized?"""

import re
from collections.abc import Callable, Mapping
from math import prod
from random import Random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convbench.explain.exam import KINDS, TITLES, draw
from convbench.explain.exam.ask import Kind, question
from convbench.explain.exam.windows import unread
from convbench.explain.letters import CUDNN, TORCH
from convbench.explain.quiz import QuizQuestion

Answer = tuple[int, ...]
EVERY = [(level, kind) for level, kinds in KINDS.items() for kind in kinds]
SEEDS = range(4)


def numbers(text: str) -> list[int]:
    return [int(word) for word in re.findall(r"-?\d+", text)]


def grids(asked: QuizQuestion) -> dict[str, Tensor]:
    return {one.label: torch.tensor(one.rows, dtype=torch.float64)[None, None] for one in asked.grids}


def size_of(h: int, w: int, r: int, s: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Answer:
    y = F.conv2d(torch.zeros(1, 1, h, w), torch.zeros(1, 1, r, s), None, stride, padding, dilation)
    return tuple(y.shape[2:])


def options(text: str) -> tuple[int, int, int]:
    """Stride, padding and dilation, as they are named."""
    found = [re.search(rf"{name} (\d+)", text) for name in ("stride", "padding", "dilation")]
    stride, padding, dilation = (int(one[1]) if one else usual for one, usual in zip(found, (1, 0, 1), strict=True))
    return stride, padding, dilation


def read_by(size: int, kernel: int, stride: int, dilation: int) -> list[list[int]]:
    """For each output row the rows of x that it reads."""
    windows = torch.arange(size).unfold(0, dilation * (kernel - 1) + 1, stride)[:, ::dilation]
    return [[int(one) for one in row] for row in windows]


def row_count(asked: QuizQuestion) -> Answer:
    size, r, s, *_ = numbers(asked.text)
    return size_of(size, size, r, s, *options(asked.text))[:1]


def covered(asked: QuizQuestion) -> Answer:
    *kernel, dilation = numbers(asked.text)
    firsts = [read_by(99, size, 1, dilation)[0] for size in kernel]
    return tuple(max(rows) - min(rows) + 1 for rows in firsts)


def never_read(asked: QuizQuestion) -> Answer:
    size, kernel, _, stride = numbers(asked.text)
    return (len(set(range(size)).difference(*read_by(size, kernel, stride, 1))),)


def output(asked: QuizQuestion) -> Answer:
    n, k, p, q = numbers(asked.text[asked.text.index("y[") :])[:4]
    stride, padding, dilation = options(asked.text)
    found = grids(asked)
    return (int(F.conv2d(found["x"], found["w"], None, stride, padding, dilation)[n, k, p, q]),)


def gradients(asked: QuizQuestion) -> tuple[Tensor, Tensor]:
    found = grids(asked)
    x = found.get("x", torch.zeros(1, 1, 3, 3, dtype=torch.float64)).requires_grad_()
    w = found.get("w", torch.zeros(1, 1, 2, 2, dtype=torch.float64)).requires_grad_()
    dx, dw = torch.autograd.grad(F.conv2d(x, w), (x, w), found["g"])
    return dx, dw


def first_pixel(asked: QuizQuestion) -> Answer:
    _, _, p, q, _, _, r, s = numbers(asked.text)
    return (int(grids(asked)["x"].unfold(2, 2, 1).unfold(3, 2, 1)[0, 0, p, q, r, s]),)


def window_pixel(asked: QuizQuestion) -> Answer:
    stride, padding, dilation = options(asked.text)
    size, _, *_ = numbers(asked.text)
    _, _, r, s, _, _, p, q = numbers(asked.text[asked.text.index("w[") :])
    lines = torch.arange(-padding, 40).unfold(0, dilation * (size - 1) + 1, stride)[:, ::dilation]
    return int(lines[p, r]), int(lines[q, s])


def kept_size(asked: QuizQuestion) -> Answer:
    kernel, _, _, dilation, size, *_ = numbers(asked.text)
    fits = (padding for padding in range(40) if size + 2 * padding > dilation * (kernel - 1))
    return tuple(one for one in fits if size_of(size, size, kernel, kernel, 1, one, dilation) == (size, size))


def layer(text: str) -> nn.Conv2d:
    found = re.search(r"nn\.Conv2d\(.*?\)(, groups=\d+)?\)|nn\.Conv2d\([^()]*\([^()]*\)[^()]*\)", text)
    assert found is not None
    made = eval(found[0], {"nn": nn})
    assert isinstance(made, nn.Conv2d)
    return made


def patches(asked: QuizQuestion) -> Answer:
    n, c, h, w, r, s, padding, *_ = numbers(asked.text)
    return tuple(F.unfold(torch.zeros(n, c, h, w), (r, s), padding=padding).shape)


def tap_row(asked: QuizQuestion) -> Answer:
    c, r, s, _, channel, kh, kw = numbers(asked.text)
    x = torch.zeros(1, c, r, s)
    x[0, channel, kh, kw] = 1
    return (int(F.unfold(x, (r, s)).flatten().argmax()),)


def place(asked: QuizQuestion) -> Answer:
    p, q, *more = numbers(asked.text)
    if "l=" in asked.text:
        return divmod(more[0], q)
    return (range(p * q)[more[1] * q + more[2]],)


def column(asked: QuizQuestion) -> Answer:
    (at,) = numbers(asked.text)
    return tuple(int(one) for one in F.unfold(grids(asked)["x"], (2, 2))[0, :, at])


def count_macs(asked: QuizQuestion) -> Answer:
    n, c, h, w, r, s, padding, _, k, *groups = numbers(asked.text)
    parts = groups[0] if groups else 1
    y = F.conv2d(torch.zeros(n, c, h, w), torch.zeros(k, c // parts, r, s), padding=padding, groups=parts)
    return (y.numel() * (c // parts) * r * s,)


def overlap(asked: QuizQuestion) -> Answer:
    h, w, r, s, stride, padding, _, _, row, col = numbers(asked.text)
    x = torch.zeros(1, 1, h, w, requires_grad=True)
    F.conv2d(x, torch.ones(1, 1, r, s), stride=stride, padding=padding).sum().backward()
    assert x.grad is not None
    return (int(x.grad[0, 0, row, col]),)


def back_to_size(asked: QuizQuestion) -> Answer:
    kernel, _, stride, padding, rows, size, *_ = numbers(asked.text.replace("2d", ""))
    y, w = torch.zeros(1, 1, rows, rows), torch.zeros(1, 1, kernel, kernel)
    made = (F.conv_transpose2d(y, w, stride=stride, padding=padding, output_padding=one) for one in range(stride))
    return tuple(i for i, one in enumerate(made) if one.shape[2] == size)


def matrix_bytes(asked: QuizQuestion) -> Answer:
    n, c, h, w, *_ = numbers(asked.text)
    dtype = torch.float16 if "fp16" in asked.text else torch.float32
    return (F.unfold(torch.zeros(n, c, h, w), 3, padding=1).to(dtype).nbytes,)


def winograd(asked: QuizQuestion) -> Answer:
    p, q, c, k = numbers(asked.text[asked.text.index("makes") :])
    tiles = torch.zeros(p + 2, q + 2).unfold(0, 4, 2).unfold(1, 4, 2)
    return (tiles.numel() * c * k,)


def toeplitz(asked: QuizQuestion) -> Answer:
    h, w, r, s, *_ = numbers(asked.text)
    x = torch.zeros(1, 1, h, w)
    return tuple(
        torch.autograd.functional.jacobian(lambda x: F.conv2d(x, torch.ones(1, 1, r, s)).flatten(), x).flatten(1).shape
    )


def zeros(asked: QuizQuestion) -> Answer:
    size, *_ = numbers(asked.text)
    return (int((F.unfold(torch.ones(1, 1, size, size), 3, padding=1) == 0).sum()),)


SOLVE: Mapping[str, Callable[[QuizQuestion], Answer]] = {
    "first.output_size": lambda asked: size_of(*numbers(asked.text)[:4]),
    "first.position_count": lambda asked: (prod(size_of(*numbers(asked.text)[:4])),),
    "first.one_output": output,
    "first.one_pixel": first_pixel,
    "first.whole_output": lambda asked: tuple(
        int(one) for one in F.conv2d(grids(asked)["x"], grids(asked)["w"]).flatten()
    ),
    "windows.output_size": row_count,
    "windows.same_padding": kept_size,
    "windows.extent": covered,
    "windows.one_output": output,
    "windows.one_pixel": window_pixel,
    "windows.unread": never_read,
    "layouts.patches_shape": patches,
    "layouts.patch_row": tap_row,
    "layouts.patch_column": place,
    "layouts.one_patch": column,
    "layouts.weight_shape": lambda asked: tuple(layer(asked.text).weight.shape),
    "layouts.parameters": lambda asked: (sum(one.numel() for one in layer(asked.text).parameters()),),
    "layouts.macs": count_macs,
    "training.weight_gradient": lambda asked: (
        int(gradients(asked)[1][tuple(numbers(asked.text[asked.text.index("w[") :])[:4])]),
    ),
    "training.pixel_gradient": lambda asked: (
        int(gradients(asked)[0][tuple(numbers(asked.text[asked.text.index("x[") :])[:4])]),
    ),
    "training.readers": overlap,
    "training.output_padding": back_to_size,
    "training.patch_bytes": matrix_bytes,
    "training.winograd_products": winograd,
    "training.toeplitz_shape": toeplitz,
    "training.padding_products": zeros,
}


def name_of(kind: Kind) -> str:
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"


@pytest.mark.parametrize("kind", [kind for _, kind in EVERY], ids=name_of)
def test_every_answer_is_right_and_no_usual_mistake_is(kind: Kind) -> None:
    for seed in SEEDS:
        asked = kind(Random(seed), TORCH)
        assert asked.answer == SOLVE[name_of(kind)](asked), asked.text
        assert asked.grade(asked.answer_text) is True
        assert asked.because
        for given, mistake in asked.slips:
            reply = ",".join(map(str, given))
            assert asked.grade(reply) is False
            assert asked.slip(reply) == mistake != ""


@pytest.mark.parametrize("kind", [kind for _, kind in EVERY], ids=name_of)
def test_a_kind_asks_more_than_one_thing_and_knows_a_mistake(kind: Kind) -> None:
    asked = [kind(Random(seed), CUDNN) for seed in SEEDS]
    assert len({(one.text, one.grids) for one in asked}) > 1
    assert any(one.slips for one in asked)
    assert not any(re.search(r"_out|_in\b|\bkH\b", one.text + one.because) for one in asked)


def test_a_seed_gives_the_same_questions_and_another_seed_others() -> None:
    assert draw((1, 3), 7, 5) == draw((1, 3), 7, 5)
    assert {one.text for one in draw((1,), 5, 5)} != {one.text for one in draw((1,), 5, 6)}


def test_a_quiz_has_every_level_in_order_and_no_question_twice() -> None:
    drawn = draw(tuple(TITLES), 13, 0)
    levels = [one.level for one in drawn]
    assert levels == sorted(levels)
    assert [levels.count(level) for level in TITLES] == [3, 3, 3, 4]
    assert len({(one.text, one.grids) for one in drawn}) == 13
    kinds = draw((1,), len(KINDS[1]), 0)
    assert len({re.sub(r"\d+", "", one.text) for one in kinds}) == len(KINDS[1])


def test_a_mistake_that_gives_the_right_answer_is_none_and_the_first_of_two_is_told() -> None:
    asked = question("?", 4, "so", slips=((4, "right"), (5, "first"), (5, "second")))
    assert asked.slips == (((5,), "first"),)
    assert (asked.slip("5"), asked.slip("4"), asked.slip("6"), asked.slip("x")) == ("first", "", "", "")


@pytest.mark.parametrize(
    ("reply", "graded"),
    [("1,179,648", True), ("1179648", True), ("1,179,64", None), ("−1", False)],  # noqa: RUF001  # the sign itself
)
def test_a_large_number_may_have_commas(reply: str, graded: bool | None) -> None:
    assert QuizQuestion(text="?", answer=(1_179_648,), because="").grade(reply) is graded


@pytest.mark.parametrize(("level", "kind"), EVERY)
def test_a_reason_never_ends_with_another_number_than_the_answer(level: int, kind: Kind) -> None:
    """A number behind a colon or an equals sign at its end is read as the result."""
    for seed in range(12):
        asked = kind(Random(seed), TORCH)
        last = re.search(r"[:=] ?(-?\d+)(?: rows?)?$", asked.because)
        assert last is None or int(last[1]) in asked.answer, asked.because


def test_rows_that_are_never_read_are_named_and_counted() -> None:
    said = {one.because.rsplit("; ", 1)[1] for seed in range(60) if (one := unread(Random(seed), TORCH))}
    for words in said:
        assert re.fullmatch(r"rows? [\d, ]+ (is|are) never read: \d+ rows?|every row is read: 0 rows", words), words
        named = re.findall(r"\d+", words.split(" never")[0]) if "never" in words else []
        assert int(words.split(": ")[1].split()[0]) == len(named)
    assert {words.split()[0] for words in said} == {"row", "rows", "every"}
