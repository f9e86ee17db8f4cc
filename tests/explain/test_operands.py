"""Are numbers of one's own walked over as they are, and proved?"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convbench.errors import ConvbenchError
from convbench.explain.operands import read_w, read_x
from convbench.explain.proof import prove, slack
from convbench.explain.steps import Walk, is_whole
from convbench.explain.walk import choose_cell, move, walk
from convbench.spec import ConvSpec


def walked(x: torch.Tensor, w: torch.Tensor, padding: int = 0) -> Walk:
    (n, c, h, width), (k, own, r, s) = x.shape, w.shape
    spec = ConvSpec(n=n, c=c, h=h, w=width, k=k, r=r, s=s, groups=c // own, padding=(padding, padding))
    return walk(x, w, spec, choose_cell(spec))


def test_a_literal_is_a_matrix_or_all_four_sizes() -> None:
    assert read_x("[[1,2],[3,4]]").numbers.tolist() == [[[[1, 2], [3, 4]]]]
    assert tuple(read_x("[[[1,2],[3,4]],[[5,6],[7,8]]]").numbers.shape) == (1, 2, 2, 2)
    assert tuple(read_w("[[[[1]]],[[[2]]]]", 1, 0).numbers.shape) == (2, 1, 1, 1)


def test_files_and_pictures(tmp_path: Path) -> None:
    numbers = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
    np.save(tmp_path / "x.npy", numbers)
    np.savetxt(tmp_path / "x.csv", numbers, delimiter=",")
    for name in ("x.npy", "x.csv"):
        assert torch.equal(read_x(str(tmp_path / name)).numbers[0, 0], torch.from_numpy(numbers).double())
    gray = np.arange(20, dtype=np.uint8).reshape(4, 5) * 12
    Image.fromarray(gray).save(tmp_path / "g.png")
    Image.fromarray(np.stack([gray, 255 - gray, gray // 2], axis=-1)).save(tmp_path / "c.png")
    found = read_x(str(tmp_path / "g.png"))
    assert torch.equal(found.numbers[0, 0], torch.from_numpy(gray).double())
    assert "from 0 to 255" in found.remark
    assert tuple(read_x(str(tmp_path / "c.png")).numbers.shape) == (1, 3, 4, 5)
    assert tuple(read_w("edges", 3, 0).numbers.shape) == (8, 3, 3, 3)
    for operand, name in ((found, "x"), (read_w("random", 3, 5), "w"), (read_x(str(tmp_path / "x.npy")), "x")):
        names = {"torch": torch}
        exec(operand.code, names)
        assert torch.equal(names[name], operand.numbers)  # type: ignore[arg-type]  # the code made a tensor


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1,2]", "--x [1,2]: x has 2, 3 or 4 sizes, and this has 2; try a matrix"),
        ("[[1,2],[3]]", "--x [[1,2],[3]]: expected sequence of length 2 at dim 1 (got 1); it takes a .npy"),
        ("[[1,", "--x [[1,: Expecting value"),
        ("[[1,1e39]]", "--x [[1,1e39]]: it holds NaN or infinity, or numbers beyond fp32; replace them"),
        ("nowhere.npy", "--x nowhere.npy: "),
        ("nowhere.png", "--x nowhere.png: there is no such file; it takes a .npy or .csv file, an image"),
        ("x.txt", "--x x.txt: it takes a .npy or .csv file, an image, or a literal such as [[1,2],[3,4]]"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, message: str) -> None:
    with pytest.raises(ConvbenchError) as told:
        read_x(text)
    assert str(told.value).startswith(message)


def test_a_pipe_an_empty_file_and_a_header_that_claims_too_much_end_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "empty.csv").touch()
    with (tmp_path / "large.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
        )  # 4 TB, none of which is there
    for name, words in (("pipe.npy", "It is a pipe"), ("empty.csv", "no data"), ("large.npy", "")):
        with pytest.raises(ConvbenchError) as told:
            read_x(str(tmp_path / name))
        assert words in str(told.value)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ConvbenchError, match="Python objects"):
        read_x(str(tmp_path / "evil.npy"))


def test_fractions_are_proved_within_a_bound_and_a_wrong_number_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((1, 3, 9, 8), generator=generator).double()
    w = torch.randn((4, 3, 3, 3), generator=generator).double() / 3
    found = walked(x.float().double(), w.float().double(), padding=1)
    assert not is_whole(found)
    assert 0 < slack(found) < 1e-11
    assert found.holds
    assert move(found, choose_cell(found.spec, at=(2, 3))).holds
    for name in ("patches", "y_flat", "folded"):
        wrong = getattr(found, name).clone()
        wrong.view(-1)[5] += 1e-6
        assert any(not one.holds for one in prove(replace(found, **{name: wrong}))), name


def test_whole_numbers_must_be_equal() -> None:
    found = walked(torch.arange(16.0).double().reshape(1, 1, 4, 4), torch.ones(1, 1, 2, 2).double())
    assert is_whole(found)
    assert slack(found) == 0
    assert not is_whole(walked(torch.full((1, 1, 2, 2), 2.0**30).double(), torch.full((1, 1, 2, 2), 2.0**30).double()))
