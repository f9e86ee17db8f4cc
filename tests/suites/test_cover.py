"""The covering array: every pair of values is met or impossible, and the file is what the script makes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from convbench.backend import Backend, backend
from convbench.case import Problem
from convbench.selection import FOR_VERIFY, select
from convbench.spec import ConvSpec
from convbench.suites import load_suite
from convbench.suites.choose import give_way
from convbench.suites.cover import FACTORS, KINDS, SIZES, all_pairs, kind_of, pairs_of, why_impossible

ROWS = load_suite("awkward")
FPROP = [one.spec for one in ROWS if (one.pass_, one.epilogue, one.operands) == ("fprop", "none", "")]
SCRIPT = Path(__file__).parents[2] / "scripts" / "cover.py"


def test_every_pair_of_values_of_different_factors_is_met_or_impossible() -> None:
    pairs = set(all_pairs())
    impossible = {pair for pair in pairs if why_impossible(pair) is not None}
    met = {pair for problem in ROWS for pair in pairs_of(problem)}
    assert pairs - impossible - met == set()
    assert met & impossible == set()
    assert (len(FACTORS), len(SIZES), len(pairs), len(impossible), len(met)) == (16, 28, 15_486, 822, 14_664)
    text = " ".join((SCRIPT.parents[1] / "docs" / "verification.md").read_text(encoding="utf-8").split())
    assert f"{len(pairs):,} pairs of values of different factors {len(impossible)} are impossible" in text


def test_a_pair_of_sizes_is_met_by_an_fprop_and_not_by_a_gradient() -> None:
    spec = ConvSpec.parse("n1c3h5w5k4r3s3_pd1")
    plain, gradient = (
        Problem(suite="", name="", spec=spec, dtype="fp32", layout="nchw", pass_=one, epilogue="none")
        for one in ("fprop", "dgrad")
    )
    assert (("C/G", "3"), ("K", "4")) in set(pairs_of(plain))
    assert (("C/G", "3"), ("K", "4")) not in set(pairs_of(gradient))
    assert (("C/G", "3"), ("pass", "dgrad")) in set(pairs_of(gradient))


CIRCUMSTANCES: dict[str, Callable[[ConvSpec], bool]] = {
    "several images and a stride of 2": lambda one: one.n > 1 and one.stride == (2, 2),
    "3x3/2 with padding 1": lambda one: (one.r, one.s, one.stride, one.padding) == (3, 3, (2, 2), (1, 1)),
    "7x7/2": lambda one: (one.r, one.s, one.stride) == (7, 7, (2, 2)),
    "unpadded 1x1/2": lambda one: (one.r, one.s, one.stride, one.sides) == (1, 1, (2, 2), (0, 0, 0, 0)),
    "4x4/2": lambda one: (one.r, one.s, one.stride) == (4, 4, (2, 2)),
    "the kernel is the stride, above 8": lambda one: (one.r, one.s) == one.stride and one.r > 8,
    "K from 64": lambda one: one.groups == 1 and one.k >= 64,
    "more than 256 pixels": lambda one: one.p * one.q > 256,
    "8 images and more": lambda one: one.n >= 8,
    "x beyond 65,536": lambda one: one.n * one.c * one.h * one.w > 65_536,
    "a plane beyond 65,536": lambda one: one.h * one.w > 65_536,
    "odd W and C in sixteens": lambda one: one.w % 2 == 1 and one.c % 16 == 0 and one.groups == 1 and one.s > 1,
    "W below S": lambda one: one.w < one.s,
    "3x3 with one column": lambda one: (one.r, one.s, one.w, one.padding) == (3, 3, 1, (1, 1)),
    "C/G from 8 in groups": lambda one: one.groups > 1 and one.c_per_group >= 8,
    "depthwise with a stride": lambda one: one.groups == one.c == one.k > 1 and one.stride == (2, 2),
    "depthwise 5x5": lambda one: one.groups == one.c == one.k > 1 and (one.r, one.s) == (5, 5),
    "uneven dilation and K from 32": lambda one: one.dilation[0] != one.dilation[1] and one.k_per_group >= 32,
    "sums of more than 256 terms": lambda one: one.taps > 256,
    **{f"{q} columns": lambda one, q=q: one.q == q for q in (13, 15, 27, 29, 55, 57)},  # type: ignore[misc]  # mypy infers no default of a lambda
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_and_an_epilogue_meet_what_a_stride_leaves_over_beside_padding(kind: str) -> None:
    rows = [one.spec for one in ROWS if kind_of(one.pass_, one.epilogue) == kind and not one.operands]
    rests = [
        [(size - extent) % step for size, extent, step in zip(one.padded, one.kernel_extent, one.stride, strict=True)]
        for one in rows
    ]
    assert any(down > across for down, across in rests)
    assert any(down < across for down, across in rests)
    assert any(down == across > 0 for down, across in rests)
    assert any((one.n, one.p, one.q) == (1, 1, 1) for one in rows)  # an output that broadcasts nothing


@pytest.mark.parametrize("name", CIRCUMSTANCES)
def test_where_real_kernels_broke_there_is_a_row(name: str) -> None:
    assert any(map(CIRCUMSTANCES[name], FPROP))


@pytest.mark.program
def test_the_file_is_what_the_script_makes() -> None:
    subprocess.run([sys.executable, SCRIPT, "--check"], check=True)


def plain(*operands: object) -> object:
    return operands


def selected(*backends: Backend, **words: object) -> list[tuple[str, str, str, str]]:
    cases = select(backends=backends, match=["layer_3x3_fp"], defaults=FOR_VERIFY, **words).cases  # type: ignore[arg-type]
    return [(case.dtype, case.layout, case.pass_, case.epilogue) for case in cases]


def test_a_row_runs_on_the_axes_drawn_for_it_and_as_an_fprop_where_the_backend_has_no_such_pass() -> None:
    bare = backend(family="direct", source="a test")(plain)
    whole = backend(family="direct", source="a test", dgrad=plain, wgrad=plain, fused=plain)(plain)
    drawn = [(one.dtype, one.layout, one.pass_, one.epilogue) for one in ROWS if one.name.startswith("layer_3x3_fp")]
    assert len(set(drawn)) == len(drawn) == 9
    assert selected(whole) == drawn
    assert selected(bare) == [(dtype, layout, "fprop", "none") for dtype, layout, *_ in drawn]


def test_axes_that_are_asked_for_take_the_place_of_those_that_were_drawn() -> None:
    bare = backend(family="direct", source="a test")(plain)
    assert selected(bare, dtypes=["bf16"], layouts=["nhwc"], passes=["wgrad"]) == [("bf16", "nhwc", "wgrad", "none")]
    own = Problem(suite="", name="", spec=ROWS[0].spec, dtype="fp32", layout="nhwc", pass_="dgrad")
    (kept,) = give_way([own], ["layout", "pass", "epilogue"])
    assert kept == own
