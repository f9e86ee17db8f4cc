"""Lines of benchdnn and MIOpenDriver: read as their own tools read them, or left out and told."""

import random
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from convbench import ConvbenchError, ConvSpec
from convbench.case import cases
from convbench.suites import find_problem, load_suite, read_shape, read_suite, suite_names
from convbench.suites.foreign import DIRECTIONS, is_foreign, read_foreign
from convbench.verify.oracle import dgrad_float64
from tests.strategies import specs

LOGGED = (
    "MIOpen(HIP): Command [LogCmdConvolution] ./bin/MIOpenDriver conv -n 128 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 "
    "-p 1 -q 1 -u 1 -v 1 -l 1 -j 1 -m conv -g 1 -F 1 -t 1"
)
LONG = {
    **dict(zip("ncHWkyx", "batchsize in_channels in_h in_w out_channels fil_h fil_w".split(), strict=True)),
    **dict(zip("pquv", "pad_h pad_w conv_stride_h conv_stride_w".split(), strict=True)),
    **dict(zip("ljgF", "dilation_h dilation_w group_count forw".split(), strict=True)),
}


def descriptor(spec: ConvSpec, *, name: str = "", outputs: bool = False, square: bool = False) -> str:
    """The problem as benchdnn writes it."""
    axes = {
        "h": (spec.h, spec.p, spec.r, spec.stride[0], spec.padding[0], spec.dilation[0] - 1),
        "w": (spec.w, spec.q, spec.s, spec.stride[1], spec.padding[1], spec.dilation[1] - 1),
    }
    if square and axes["h"] == axes["w"]:
        del axes["w"]
    parts = [f"g{spec.groups}" if spec.groups > 1 else "", f"mb{spec.n}_ic{spec.c}oc{spec.k}"]
    for letter, sizes in axes.items():
        parts += [
            f"{key}{letter}{size}" for key, size in zip("iokspd", sizes, strict=True) if key != "o" or outputs
        ] + ["_"]
    return "".join(parts) + (f'n"{name}"' if name else "")


def command(spec: ConvSpec, *, long: bool = False, driver: str = "conv") -> str:
    """The problem as MIOpen logs it."""
    (u, v), (p, q), (l_, j) = spec.stride, spec.padding, spec.dilation
    sizes = (spec.n, spec.c, spec.h, spec.w, spec.k, spec.r, spec.s, p, q, u, v, l_, j, spec.groups, 1)
    flags = [f"--{LONG[flag]}" if long else f"-{flag}" for flag in "ncHWkyxpquvljgF"]
    return f"./bin/MIOpenDriver {driver} " + " ".join(f"{a} {b}" for a, b in zip(flags, sizes, strict=True))


def only(text: str) -> ConvSpec:
    reading = read_shape(text)
    assert not reading.left_out
    (problem,) = reading.problems
    return problem.spec


@given(specs(), st.booleans(), st.booleans())
def test_a_benchdnn_descriptor_and_back_is_the_same_problem(spec: ConvSpec, outputs: bool, square: bool) -> None:
    assert only(descriptor(spec, outputs=outputs, square=square)) == spec


@given(specs(), st.booleans())
def test_a_miopen_command_and_back_is_the_same_problem(spec: ConvSpec, long: bool) -> None:
    assert only(command(spec, long=long)) == spec
    assert only(f"MIOpen: Command [LogCmdFindConvolution] {command(spec, long=long)} -t 1 -V 0") == spec


@pytest.mark.parametrize("suite", [name for name in suite_names() if name.startswith("benchdnn")])
def test_the_shipped_benchdnn_suites_come_back_from_their_descriptors(suite: str, tmp_path: Path) -> None:
    shipped = load_suite(suite)
    path = tmp_path / suite
    path.write_text(
        "# a comment\n\n--reset --dt=f32\n--dir=FWD_B\n"
        + "\n".join(
            descriptor(one.spec, name=f"{one.name}*{one.count}", outputs=True, square=random.random() < 0.5)
            for one in shipped
        )
    )
    reading = read_suite(str(path))
    assert not reading.left_out
    assert [(one.name, one.count, one.spec) for one in reading.problems] == [
        (one.name, one.count, one.spec) for one in shipped
    ]
    assert {one.dtype for one in reading.problems} == {"fp32"}
    assert reading.problems[0].source == f"{path}, line 5"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        # benchdnn's own defaults: minibatch 2, square, no dilation, and the padding that the output asks for
        ("ic16ih5oc16oh5kh3", "n2c16h5w5k16r3s3_pd1"),
        ('g4ic16oc16_ih5oh5kh3ph1_n"2d_conv:grouped"', "n2c16h5w5k16r3s3_pd1_g4"),
        ("mb32ic3oc64_ih300oh150kh7sh2dh0ph3_iw300ow150kw7sw2dw0pw3", "n32c3h300w300k64r7s7_st2_pd3"),
        # w stands whole or not at all: beside iw and kw, sw is 1 although sh is 2
        ("mb1ic4ih8iw9oc4kh3kw3sh2", "n1c4h8w9k4r3s3_st2x1"),
        ("mb1ic4ih9oc4kh3dh1", "n1c4h9w9k4r3s3_dl2"),
        ("--mb=8 mb1ic4ih9oc4kh3", "n8c4h9w9k4r3s3"),
        ("--mb=8 --reset --conv mb1ic4ih9oc4kh3", "n1c4h9w9k4r3s3"),
        ("./benchdnn --conv -v5 --mode=P --dir=FWD_D --cfg=f32 --skip-impl=ref mb1ic4ih9oc4kh3", "n1c4h9w9k4r3s3"),
    ],
)
def test_a_descriptor_is_read_as_benchdnn_reads_it(text: str, spec: str) -> None:
    assert only(text) == ConvSpec.parse(spec)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("MIOpenDriver conv -F 1", "n100c3h32w32k32r3s3"),
        ("MIOpenDriver conv -F 1 --conv_stride_0 2 --conv_stride_1 1 -n 1", "n1c3h32w32k32r3s3_st2x1"),
        ("MIOpenDriver conv -F 1 -n 1 -z same -u 2 -v 1 -y 5 -x 5", "n1c3h32w32k32r5s5_st2x1_pd1x2"),
        ("MIOpenDriver conv -F 1 -n 1 -z valid -p 4", "n1c3h32w32k32r3s3"),
        ("MIOpenDriver conv -F 1 -n 1 -g 0 --spatial_dim 2", "n1c3h32w32k32r3s3"),
    ],
)
def test_a_command_is_read_as_miopendriver_reads_it(text: str, spec: str) -> None:
    assert only(text) == ConvSpec.parse(spec)


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("MIOpenDriver convfp16 -F 1", "fp16"),
        ("MIOpenDriver convbfp16 -F 1", "bf16"),
        ("MIOpenDriver conv -F 1", None),
        ("--dt=bf16 ic3ih8oc4kh3", "bf16"),
        ("--dt=f16:f16:f16 ic3ih8oc4kh3", "fp16"),
        ("--cfg=bf16bf16bf16 ic3ih8oc4kh3", "bf16"),
        ("--cfg=f32_wino ic3ih8oc4kh3", "fp32"),
        ("ic3ih8oc4kh3", None),
    ],
)
def test_a_line_may_name_its_data_type(text: str, dtype: str | None) -> None:
    (problem,) = read_shape(text).problems
    assert problem.dtype == dtype


@pytest.mark.parametrize(
    ("text", "kind", "left"),
    [
        ("ic3id8oc4kd3", "3-D problems", 0),
        ("ic3id8ih8iw8oc4kd3kh3kw3", "3-D problems", 0),
        ("ic3ih9oh2oc4kh3", "inconsistent sizes", 0),
        ("--dir=BWD_WB ic3ih8oc4kh3", "gradients of a bias", 1),
        ("--dt=f32,u8:s8:f32 ic3ih8oc4kh3", "data types", 1),
        ("--attr-post-ops=relu ic3ih8oc4kh3", "fused operations", 1),
        ("--stag=axb ic3ih8oc4kh3", "memory layout", 1),
        ("--deconv --dir=FWD_B ic3ih8oc4kh3", "biases of transposed", 1),
        ("--pool ic3ih8oc4kh3", "another benchdnn driver", 0),
        ("MIOpenDriver conv -F 1 --spatial_dim 3 --in_d 8", "3-D problems", 0),
        ("MIOpenDriver convint8 -F 1", "data types", 0),
        ("MIOpenDriver conv -F 1 --in_layout NHWC", "memory layout", 1),
        ("./bin/MIOpenDriver pool -W 3", "not a convolution", 0),
    ],
)
def test_what_convbench_does_not_do_is_left_out_and_told(text: str, kind: str, left: int) -> None:
    reading = read_shape(text)
    assert any(kind in one.kind for one in reading.left_out), reading.left_out
    assert len(reading.problems) == left


@settings(max_examples=60)
@given(
    size=st.integers(1, 7),
    taps=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    rest=st.integers(0, 2),
    dilation=st.integers(1, 2),
)
def test_a_deconvolution_of_benchdnn_is_the_dgrad_whose_image_is_that_of_torch(
    size: int, taps: int, stride: int, padding: int, rest: int, dilation: int
) -> None:
    rest = min(rest, stride - 1)
    extent = dilation * (taps - 1) + 1
    made = (size - 1) * stride - 2 * padding + extent + rest
    assume(made > 0)
    line = f"g2mb3ic4ih{size}oc6oh{made}kh{taps}sh{stride}ph{padding}dh{dilation - 1}"
    lines = [line] if rest else [line, line.replace(f"oh{made}", ""), line.replace(f"ph{padding}", "")]
    for one in lines:
        (problem,) = read_shape(f"--deconv {one}").problems
        assert (problem.pass_, problem.epilogue) == ("dgrad", None)
        assert problem.spec.x_shape == (3, 6, made, made)
        assert problem.spec.y_shape == (3, 4, size, size)
    (problem,) = read_shape(f"--deconv {line}").problems
    dy, w = torch.randn(problem.spec.y_shape), torch.randn(problem.spec.w_shape)
    options = {"stride": stride, "padding": padding, "output_padding": rest, "dilation": dilation, "groups": 2}
    torch.testing.assert_close(
        dgrad_float64(dy.double(), w.double(), problem.spec),
        torch.nn.functional.conv_transpose2d(dy.double(), w.double(), **options),  # type: ignore[arg-type]
    )


def test_the_directions_of_a_deconvolution_are_turned_and_its_driver_ends_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "shapes").write_text("ic3ih8oc4kh3\n")
    text = "--dir=FWD_D,BWD_D,BWD_W --deconv --batch=shapes\nic3ih8oc4kh3"
    found = read_foreign(text, suite="s", origin=str(tmp_path / "list")).problems
    assert [(str(one.spec), one.pass_) for one in found] == [
        *[("n2c4h10w10k3r3s3", one) for one in ("dgrad", "fprop", "wgrad")],
        *[("n2c3h8w8k4r3s3", one) for one in ("fprop", "dgrad", "wgrad")],
    ]


@pytest.mark.parametrize(
    "broken", ["--dt=f32,bf16", "--dt=f32, \\\n bf16", "--dt=f32,\\\nbf16", "--dt=f32,\\\n   bf16"]
)
def test_a_list_may_be_broken_after_a_comma_with_or_without_a_blank(broken: str) -> None:
    found = read_shape(f"{broken} ic3ih8oc4kh3").problems
    assert [problem.dtype for problem in found] == ["fp32", "bf16"]


def test_a_long_file_in_which_every_tenth_line_is_padded_unequally_is_read_whole(tmp_path: Path) -> None:
    source = random.Random(0)
    lines, wanted = ["--reset --dt=f32,\\\nf16"], []
    for number in range(2000):
        size, taps, step = source.randint(5, 30), source.randint(1, 5), source.randint(1, 2)
        front = source.randint(0, taps // 2)
        end = front + 1 + source.randrange(step, step + 2) if number % 10 == 0 else front
        out = (size + front + end - taps) // step + 1
        more = (out - 1) * step - size + taps - front
        lines.append(f"mb1ic{number % 7 + 1}oc4ih{size}oh{out}kh{taps}sh{step}ph{front}")
        even = (size + 2 * front - taps) // step + 1 == out
        sides = (front, front) if even else (front, more)
        wanted.append(ConvSpec(
            n=1, c=number % 7 + 1, h=size, w=size, k=4, r=taps, s=taps, stride=step, padding=sides * 2,
        ))  # fmt: skip
    path = tmp_path / "lines"
    path.write_text("\n".join(lines))
    reading = read_suite(str(path))
    assert reading.left_out == ()
    assert {problem.spec for problem in reading.problems} == set(wanted)
    assert sum(spec.padding_end is not None for spec in wanted) >= 150


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("ic3ih8oh8oc4kh4ph1", ["n2c3h8w8k4r4s4_pd1x2x1x2"]),
        ("ic3ih8oh8oc4kh4", ["n2c3h8w8k4r4s4_pd1x2x1x2"]),
        ("ic3ih8oh4oc4kh3ph0sh2", ["n2c3h8w8k4r3s3_st2_pd0x1x0x1"]),
        ("ic3ih8oh3oc4kh3ph0sh2", ["n2c3h8w8k4r3s3_st2"]),  # equal padding gives that size too
        ("ic64ih8oc64oh4kh1sh2", ["n2c64h8w8k64r1s1_st2"]),  # what is left over is not read
        ("ic3iw8oc4kw3", ["n2c3h1w8k4r1s3"]),
        ("ic3iw8ow8oc4kw3pw1dw1", ["n2c3h1w8k4r1s3_pd0x0x1x3_dl1x2"]),
    ],
)
def test_an_output_size_says_how_the_end_is_padded_and_1d_is_a_row(text: str, specs: list[str]) -> None:
    reading = read_shape(text)
    assert [str(problem.spec) for problem in reading.problems] == specs
    assert reading.left_out == ()


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("ic3ih8oc4kh3", [(None, None)]),
        ("--dir=BWD_D ic3ih8oc4kh3", [("dgrad", None)]),
        ("--dir=FWD_B,BWD_W ic3ih8oc4kh3", [("fprop", "bias"), ("wgrad", None)]),
        ("--dir=FWD_I,FWD_D ic3ih8oc4kh3", [("fprop", "none")]),
        ("MIOpenDriver conv -F 1", [(None, None)]),
        ("MIOpenDriver conv", [("fprop", None), ("dgrad", None), ("wgrad", None)]),
        ("MIOpenDriver conv -F 6", [("dgrad", None), ("wgrad", None)]),
        ("MIOpenDriver conv -F 1 -b 1", [(None, "bias")]),
    ],
)
def test_a_lines_direction_is_its_pass_and_epilogue(text: str, kinds: list[tuple[str | None, str | None]]) -> None:
    assert [(problem.pass_, problem.epilogue) for problem in read_shape(text).problems] == kinds
    for problem in read_shape(text).problems:
        for case in cases([problem], passes=["fprop"], epilogues=["none"]):
            assert case.pass_ == problem.pass_ or (problem.pass_ is None and case.pass_ == "fprop")
            assert case.epilogue == (problem.epilogue or "none")


def test_a_transposed_line_is_the_dgrad_of_its_forward_problem() -> None:
    line = "MIOpenDriver conv -n 1 -c 8 -H 7 -W 5 -k 4 -y 3 -x 3 -u 2 -v 1 -p 1 -g 2 -m trans -F"
    (problem,) = read_shape(f"{line} 1").problems
    assert (str(problem.spec), problem.pass_) == ("n1c4h13w7k8r3s3_st2x1_pd1x0_g2", "dgrad")
    assert [one.pass_ for one in read_shape(f"{line} 0").problems] == ["dgrad", "fprop", "wgrad"]
    (more,) = read_shape(f"{line} 1 --trans_output_pad_h 1").problems
    assert str(more.spec) == "n1c4h14w7k8r3s3_st2x1_pd1x0_g2"
    (same,) = read_shape(f"{line} 1 -z same").problems  # which MIOpen takes of a forward convolution alone
    assert same.spec == problem.spec


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ic3ih8oc4kh3zh2", "is not a problem"),
        ("n1c3h8w8k4r3s3", "is not a problem"),
        ("epoch 1 of 3", "docs/selection.md"),
        ("ic3ih8iw8oc4kh3", "kw is missing"),
        ("ic3ih8oc4", "kh is missing"),
        ("ic3oc4", "ih is missing"),
        ("ic3ic3ih8oc4kh3", "ic occurs twice"),
        ("ic3ih8oc4kh1234567890", "more than 9 digits"),
        ("g2ic3ih8oc4kh3", "must divide both"),
        ("ic3ih8oc4kh9", "larger than the padded input"),
        ("ic3ih8oc4kh3sh0", "stride is 0"),
        ("--mb=two", "--mb takes batch sizes"),
        ("--dir=SIDEWAYS", "unknown --dir 'SIDEWAYS'"),
        ("--nope=1", "unknown benchdnn option 'nope'"),
        ("--batch=nowhere", "cannot read --batch=nowhere"),
        ("MIOpenDriver", "is followed by ''"),
        ("MIOpenDriver -n 1", "is followed by '-n'"),
        ("MIOpenDriver conv -Q 1", "unknown MIOpenDriver flag '-Q'"),
        ("MIOpenDriver conv --fil_hh 1", "did you mean '--fil_h'"),
        ("MIOpenDriver conv -n", "-n has no value"),
        ("MIOpenDriver conv -n many", "-n many: it takes an integer"),
        ("MIOpenDriver conv -F 9", "-F 9"),
        ("MIOpenDriver conv -m sideways", "unknown mode 'sideways'"),
        ("MIOpenDriver conv -z sideways", "unknown pad_mode 'sideways'"),
        ("MIOpenDriver conv -_ 4", "--spatial_dim 4"),
    ],
)
def test_what_cannot_be_read_is_refused_with_file_and_line(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "shapes"
    path.write_text(f"# one\n\n{line}\n")
    with pytest.raises(ConvbenchError) as refusal:
        read_suite(str(path))
    assert str(refusal.value).startswith(f"{path}, line 3: ")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_may_mix_everything(tmp_path: Path) -> None:
    (tmp_path / "more").write_text('mb7ic4ih9oc4kh3n"from_more"\n')
    path = tmp_path / "mixed.txt"
    path.write_text(
        f'{LOGGED}\n# then benchdnn\n--mb=2,4 --dt=f32, \\\n   bf16\nic4ih8oc4kh3n"twice*3"  # each dtype\n'
        f"--batch=more\n--reset\nic4ih8oc4kh3\n{LOGGED}\n"
    )
    reading = read_suite(str(path))
    assert [(one.name, one.spec.n, one.dtype, one.count) for one in reading.problems] == [
        ("n128c64h56w56k64r3s3_pd1", 128, None, 2),  # as often as the log has it
        ("twice n=2", 2, "fp32", 3),
        ("twice n=2", 2, "bf16", 3),
        ("twice n=4", 4, "fp32", 3),
        ("twice n=4", 4, "bf16", 3),
        ("from_more n=2", 2, "fp32", 1),
        ("from_more n=2", 2, "bf16", 1),
        ("from_more n=4", 4, "fp32", 1),
        ("from_more n=4", 4, "bf16", 1),
        ("n2c4h8w8k4r3s3", 2, None, 1),
    ]
    assert {one.suite for one in reading.problems} == {"mixed"}


def test_an_error_in_a_file_that_a_file_names_has_the_inner_place(tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("\nnonsense\n")
    (tmp_path / "outer").write_text("--batch=inner\n")
    with pytest.raises(ConvbenchError) as refusal:
        read_suite(str(tmp_path / "outer"))
    assert str(refusal.value).startswith(f"{tmp_path / 'inner'}, line 2: 'nonsense'")


def test_a_file_that_leads_back_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("--batch=b\n")
    (tmp_path / "b").write_text("--batch=a\n")
    with pytest.raises(ConvbenchError, match="includes itself"):
        read_suite(str(tmp_path / "a"))


def test_a_row_of_such_a_file_is_found_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "shapes"
    path.write_text('ic3ih8oc4kh3n"net:conv1"\nic3ih9oc4kh3n"net:conv2"\n')
    assert find_problem(f"{path}:net:conv2").spec.h == 9
    assert find_problem(f"{path}:conv1").spec.h == 8


def test_one_problem_is_asked_for_where_a_command_takes_one() -> None:
    assert find_problem(LOGGED).spec == ConvSpec.parse("n128c64h56w56k64r3s3_pd1")
    with pytest.raises(ConvbenchError, match="gives 2 problems"):
        find_problem("--mb=1,2 ic3ih8oc4kh3")
    with pytest.raises(ConvbenchError, match="3-D problems are not supported"):
        find_problem("ic3id8oc4kd3")


def test_our_own_text_is_not_foreign() -> None:
    assert not is_foreign("n1c64h56w56k64r3s3_pd1")
    assert not is_foreign("resnet50:conv1")
    assert is_foreign('mb1ic64ih56oc64oh56kh3ph1n"name,with_a_comma"')


def test_every_direction_says_a_pass_and_an_epilogue() -> None:
    assert {pass_ for pass_, _ in DIRECTIONS.values()} == {"fprop", "dgrad", "wgrad"}
    assert {epilogue for _, epilogue in DIRECTIONS.values()} == {"none", "bias"}


@given(st.text(alphabet='gmbicohkwspd_n"*-=FWD0123456789 \\#,:', max_size=40))
def test_any_line_is_either_problems_or_refused(text: str) -> None:
    with suppress(ConvbenchError):
        read_shape(text)
    with suppress(ConvbenchError):
        read_shape(f"ic3ih8oc4kh3 {text}")
    with suppress(ConvbenchError):
        read_shape(f"MIOpenDriver conv {text}")
