"""Do `explain --algorithm` and `explain --backward` print what they should, and exit as they should?"""

# ruff: noqa: RUF001  # the times signs are meant: this is mathematics as text

import json
import re
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from convbench import ConvSpec
from convbench.explain import steps
from convbench.explain.algorithms.catalogue import ALGORITHMS
from convbench.explain.algorithms.trace import Matrix
from convbench.show.algorithms import Texts, draw_matrix, fraction_text
from convbench.verify.oracle import dgrad_float64
from tests.cli.conftest import explain
from tests.snapshots import assert_golden

AWKWARD = "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2"
UNIT_STRIDE = "n2c4h7w9k6r3s3_pd1x0_g2"


@pytest.fixture(autouse=True)
def plain_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def without_noise(text: str) -> str:
    """Rounding errors of float64 are another machine's."""
    return re.sub(r"At most [\de.-]+\s+apart", "At most … apart", text)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_all_algorithms_on_the_note_read_well_at_every_width(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = explain(capsys, "--algorithm", "all")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= width
    assert_golden(f"explain_algorithms_note_{width}", without_noise(out))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_gradients_of_the_note_read_well_at_every_width(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = explain(capsys, "--backward")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= width
    assert_golden(f"explain_backward_note_{width}", out)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("algorithms_awkward", [AWKWARD, "--algorithm", "all"]),
        ("algorithms_tiles", [UNIT_STRIDE, "--algorithm", "winograd,winograd-4x1,fft"]),
        ("backward_awkward", [AWKWARD, "--backward", "--filter", "4"]),
    ],
)
def test_awkward_problems_read_well_at_80_columns(
    name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = explain(capsys, *arguments)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert_golden(f"explain_{name}_80", without_noise(out))


@pytest.mark.parametrize("text", ["n1c2h30w30k2r7s7_st3_pd1_dl3", "n1c3h40w33k4r5s5_pd2", "n3c6h9w9k6r1s1_g6"])
def test_larger_problems_fit_60_columns(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    code, out, _ = explain(capsys, text, "--algorithm", "all", "--backward")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 60


def test_the_followed_cell_stands_in_every_algorithm(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = explain(capsys, "n1c3h20w20k2r3s3_pd1", "--at", "17,3", "--filter", "1", "--algorithm", "all")
    spec = ConvSpec.parse("n1c3h20w20k2r3s3_pd1")
    _, text, _ = explain(capsys, str(spec), "--at", "17,3", "--filter", "1", "--json")
    value = json.loads(text)["y"][0][1][17][3]
    sections = out.split("y[0,1,17,3]")
    assert len(sections) == len(ALGORITHMS) + 1
    for section in sections[1:]:
        assert f"<{value:.0f}>" in section


def test_json_has_every_number_of_the_algorithms_and_of_the_gradients(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = explain(
        capsys, UNIT_STRIDE, "--algorithm", "winograd-4x1,fft", "--backward", "--json", "--seed", "3"
    )
    assert (code, err) == (0, "")
    found = json.loads(out)
    spec = ConvSpec.parse(UNIT_STRIDE)
    x, w = (torch.tensor(found[name], dtype=torch.float64) for name in "xw")
    y = F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
    winograd, fft = found["algorithms"]
    assert (winograd["name"], fft["name"]) == ("winograd-4x1", "fft")
    for one in (winograd, fft):
        assert torch.equal(torch.tensor(one["y"], dtype=torch.float64), y)
        assert one["proof"]
        assert all(comparison["holds"] for comparison in one["proof"])
    matrices = {matrix["label"]: matrix for stage in winograd["stages"] for matrix in stage["matrices"]}
    assert matrices["B^T down"]["numbers"][1][1] == "2/3"
    assert [Fraction(one) for one in matrices["A^T down"]["numbers"][1]] == [0, 1, -1, 2, -2, 0]
    assert winograd["counts"]["core"]["multiplications"] == 2 * 6 * 2 * (2 * 7) * 6 * 3
    spectrum = next(m for stage in fft["stages"] for m in stage["matrices"] if m["label"] == "X")
    assert len(spectrum["numbers"][0][0]) == 2
    dx, g = (torch.tensor(found["backward"][name], dtype=torch.float64) for name in ("dx", "g"))
    assert torch.equal(dx, F.conv_transpose2d(g, w, None, spec.stride, spec.padding, 0, spec.groups, spec.dilation))


def test_json_of_the_walk_alone_has_no_key_of_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = explain(capsys, "--json")
    assert not {"algorithms", "backward"} & set(json.loads(out))


def test_json_says_why_an_algorithm_is_not_here(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = explain(capsys, AWKWARD, "--algorithm", "winograd", "--json")
    (found,) = json.loads(out)["algorithms"]
    assert found["name"] == "winograd"
    assert "so it needs stride 1" in found["why_not"]


def test_algorithms_that_are_not_here_exit_3_and_the_table_has_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = explain(capsys, AWKWARD, "--algorithm", "winograd")
    assert (code, err) == (3, "")
    assert "so it needs stride 1" in " ".join(out.split())
    assert re.search(r"loops +3,360 +3,024", out)
    assert explain(capsys, AWKWARD, "--algorithm", "winograd,loops")[0] == 0


def test_the_table_of_a_large_problem_has_those_that_were_asked_for_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = explain(capsys, "--algorithm", "winograd")[1].partition("ALL ALGORITHMS, SAME NUMBERS")[2]
    assert re.search(r"\n  loops +36 ", table)
    monkeypatch.setattr("convbench.cli.explain.algorithms.MAX_OTHERS_MACS", 35)
    code, out, _ = explain(capsys, "--algorithm", "winograd")
    table = out.partition("ALL ALGORITHMS, SAME NUMBERS")[2]
    assert code == 0
    assert re.search(r"\n  winograd +16 ", table)
    assert not re.search(r"\n  loops ", table)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--algorithm", "strassen"], "unknown algorithm 'strassen': choose from all, fft"),
        (["--algorithm", "winogard"], "did you mean 'winograd'?"),
        (["--algorithm", ""], "unknown algorithm ''"),
        (["--algorithm", "winograd-0"], "winograd-4, winograd-4x2"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = explain(capsys, *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_a_json_too_long_to_read_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convbench.cli.explain.MAX_JSON_NUMBERS", 100)
    code, out, err = explain(capsys, "--algorithm", "all", "--json")
    assert (code, out) == (2, "")
    assert "--json of these algorithms on n1c1h4w4k1r2s2 would print" in err


def test_an_algorithm_that_is_not_proved_is_not_printed_and_exits_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(  # taps of the first row and column are taken for padding
        "convbench.explain.algorithms.shift_and_add.inside",
        lambda axis: steps.inside(axis) & (torch.arange(axis.positions) > 0),
    )
    code, out, err = explain(capsys, "n1c1h5w5k1r3s3_pd1", "--algorithm", "shift-and-add")
    assert (code, out) == (1, "")
    assert "shift-and-add: answer fails" in err


def test_a_gradient_that_is_not_proved_is_not_printed_and_exits_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convbench.explain.backward.dgrad_float64", lambda *given: dgrad_float64(*given) + 1)
    code, out, err = explain(capsys, "--backward")
    assert (code, out) == (1, "")
    assert "backward: dx fails: 16 of 16 numbers differ" in err


def test_a_small_walk_ends_with_the_algorithms_that_were_proved_on_its_numbers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, out, _ = explain(capsys)
    end = " ".join(out.split()).partition("the same y:")[2]
    assert end.startswith(" ✓ Toeplitz 9×16 ✓ Winograd F(3×3, 2×2): 16 products ✓ FFT 4×4 and more: --at 0,0")
    monkeypatch.setattr("convbench.cli.explain.algorithms.MAX_ALSO_MACS", 35)
    assert "the same y" not in explain(capsys)[1]


def test_fractions_are_decimals_where_three_of_them_are_exact() -> None:
    assert [fraction_text(Fraction(*one)) for one in ((3, 1), (17, 2), (-1, 8), (1, 24), (1, 16))] == [
        "3",
        "8.5",
        "-0.125",
        "1/24",
        "1/16",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3 + 0j, "3"),
        (0j, "0"),
        (-8 - 8j, "-8-8i"),
        (2j, "2i"),
        (-1.5j, "-1.5i"),
        (1 + 0.25j, "1+0.25i"),
        (100 + 1e-13j, "100"),
    ],
)
def test_complex_numbers_are_written_without_their_rounding_errors(value: complex, text: str) -> None:
    assert Texts(torch.tensor([[value, 100.0]], dtype=torch.complex128))(0, 0) == text


def test_what_wrapped_around_is_marked_and_a_structural_zero_is_a_dot() -> None:
    numbers: Any = torch.tensor([[1.0, 2.0], [0.0, 4.0]])
    aside = torch.tensor([[False, True], [True, False]])
    matrix = Matrix(label="m", numbers=numbers, followed=numbers == 4, role="output", aside=aside)
    assert [line.plain.rstrip() for line in draw_matrix(matrix, 40, 10)] == ["m   0   1", "0   1  ~2", "1   ·  <4>"]


def test_algorithms_and_gradients_speak_the_short_letters_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = explain(capsys, "--algorithm", "toeplitz", "--backward", "--names", "cudnn")
    assert code == 0
    assert "row (k·P + p)·Q + q of T" in out
    assert "(c,r,s)" in out
    assert "kH" not in out
