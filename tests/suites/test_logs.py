"""Logs and tables that other tools wrote: read whole, told truly, and equal to what torch counts."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from convbench import ConvbenchError, ConvSpec
from convbench.case import Problem
from convbench.suites import read_shape, read_suite
from convbench.suites.foreign import ForeignProblems, read_foreign
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture
from tests.conftest import load_script
from tests.strategies import specs
from tests.suites.test_foreign import command, descriptor


def read(text: str) -> ForeignProblems:
    return read_foreign(text, suite="log", origin="log.txt")


def told(reading: ForeignProblems) -> dict[str, int]:
    """How often each kind was left out."""
    kinds: dict[str, int] = {}
    for one in reading.left_out:
        kinds[one.kind] = kinds.get(one.kind, 0) + 1
    return kinds


def rows(reading: ForeignProblems) -> list[tuple[str, int, str | None, str | None, str | None]]:
    return [(str(one.spec), one.count, one.dtype, one.pass_, one.epilogue) for one in reading.problems]


# MIOpen


PLAIN = "conv -n 2 -c 4 -H 8 -W 8 -k 4 -y 3 -x 3 -p 1 -q 1 -F 1"


@pytest.mark.parametrize(
    "line",
    [
        f"./bin/MIOpenDriver {PLAIN}",
        f"MIOpen(HIP): Command [LogCmdConvolution] MIOpenDriver.exe {PLAIN}",
        f"C:\\rocm\\bin\\MIOpenDriver.exe {PLAIN} -V 0 -t 1",
        f"12:30:01 | step=3 cmd:./bin/MIOpenDriver {PLAIN}",
        f'"./bin/MIOpenDriver {PLAIN}"',
        f"'MIOpenDriver {PLAIN}',",
        f"run `MIOpenDriver {PLAIN}` once more",
        f'"C:\\Program Files\\rocm\\MIOpenDriver.exe" {PLAIN}',
        f"time MIOpenDriver {PLAIN} > out.txt 2>&1 && echo done",
        f"MIOpenDriver {PLAIN}; sleep 1",
        f"MIOpenDriver {PLAIN}  # the first layer",
        str(["./bin/MIOpenDriver", *PLAIN.split()]),
        "INFO cmd = " + json.dumps(["MIOpenDriver", *PLAIN.split()]) + " rc 0",
        f"\x1b[32mMIOpen(HIP): Command\x1b[0m [Log] MIOpenDriver {PLAIN}",
    ],
)
def test_a_command_is_found_wherever_it_is_in_a_line(line: str) -> None:
    reading = read(line)
    assert [str(one.spec) for one in reading.problems] == ["n2c4h8w8k4r3s3_pd1"]
    assert reading.left_out == ()


@settings(max_examples=25)
@given(specs())
def test_a_quoted_command_and_a_list_of_words_are_the_command(spec: ConvSpec) -> None:
    plain = command(spec)
    for line in (f'"{plain}"', str(plain.split()), f"prefix: {plain} | tee log"):
        (problem,) = read(line).problems
        assert problem.spec == spec


def test_two_commands_in_a_line_are_two() -> None:
    reading = read(f"MIOpenDriver {PLAIN} && ./MIOpenDriver {PLAIN.replace('-k 4', '-k 8')}")
    assert [one.spec.k for one in reading.problems] == [4, 8]


def test_a_flag_that_changes_no_problem_is_told_and_an_unknown_one_costs_its_line() -> None:
    reading = read(
        f"MIOpenDriver {PLAIN} --gpubuffer_check 0\nMIOpenDriver {PLAIN} -~ 1\nMIOpenDriver {PLAIN} --new_flag 3\n"
    )
    assert rows(reading) == [("n2c4h8w8k4r3s3_pd1", 2, None, None, None)]
    assert told(reading) == {"MIOpenDriver flags that change no problem": 2, "lines that cannot be read": 1}
    assert "--new_flag" in reading.left_out[-1].detail


def test_only_a_line_without_a_command_is_said_to_have_none() -> None:
    reading = read(f"MIOpen(HIP): Info [SetStream] stream: 0\nMIOpen(HIP): Command [Log] MIOpenDriver.exe {PLAIN}\n")
    assert len(reading.problems) == 1
    assert told(reading) == {"log lines without a command": 1}


# A line that cannot be read


def test_a_line_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_bytes(
        b"epoch 1 of 3\n=====\nic3ih8oc4kh3\nic3ih8oc4kh9\nMIOpenDriver conv -n\n\xff\xfe bytes\nic3ih9oc4kh3\n"
    )
    reading = read_suite(str(path))
    assert [one.spec.h for one in reading.problems] == [8, 9]
    assert told(reading) == {"lines without a problem": 3, "lines that cannot be read": 2}
    assert [one.place for one in reading.left_out][:2] == [f"{path}, line 1", f"{path}, line 2"]
    assert "larger than the padded input" in next(one.detail for one in reading.left_out if one.place.endswith("4"))


def test_a_typed_line_is_still_an_error() -> None:
    with pytest.raises(ConvbenchError, match="--shape: unknown MIOpenDriver flag"):
        read_shape(f"MIOpenDriver {PLAIN} --new_flag 3")


def test_problems_below_an_option_that_cannot_be_read_are_left_out() -> None:
    reading = read("--mb=2\nic3ih8oc4kh3\n--mb=two\nic3ih9oc4kh3\n--mb=4\nic3ih10oc4kh3\n--dir=UP\nic3ih7oc4kh3\n")
    assert [(one.spec.h, one.spec.n) for one in reading.problems] == [(8, 2), (10, 4)]
    assert told(reading) == {
        "lines that cannot be read": 2,
        "problems below a --mb that cannot be read": 1,
        "problems below a --dir that cannot be read": 1,
    }


def test_what_powershell_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(f"MIOpenDriver {PLAIN}\r\n".encode("utf-16"))
    assert len(read_suite(str(path)).problems) == 1
    path.write_bytes(f"MIOpenDriver {PLAIN}\n".encode("utf-16-le"))  # without its mark
    with pytest.raises(ConvbenchError, match="not a text file"):
        read_suite(str(path))


# oneDNN


ONEDNN = {
    "3.7": "onednn_verbose,v1,primitive,exec,cpu,{0},jit:avx2,{1},"
    "src:f32:a:blocked:abcd::f0 wei:f32:a:blocked:Acdb8a::f0 "
    "bia:undef::undef::: dst:f32:a:blocked:aBcd8b::f0,attr-scratchpad:user,alg:convolution_direct,{2},{3}",
    "3.7 with time stamps": "onednn_verbose,v1,1795984513401.204102,primitive,exec,cpu,{0},jit:avx2,{1},"
    "src:f32:a:blocked:abcd::f0 wei:f32:a:blocked:Acdb8a::f0 bia:undef::undef::: dst:f32:a:blocked:aBcd8b::f0,"
    "attr-scratchpad:user,alg:convolution_direct,{2},{3}",
    "3.1": "onednn_verbose,primitive,exec,gpu:0,{0},jit:ir,{1},src_f32::blocked:abcd::f0 wei_f32::blocked:abcd::f0 "
    "bia_undef::undef::: dst_f32::blocked:abcd::f0,,alg:convolution_direct,{2},{3}",
    "2.4": "dnnl_verbose,1630000000.5,exec,cpu,{0},brgconv:avx512_core,{1},src_f32::blocked:acdb:f0 "
    "wei_f32::blocked:Acdb64a:f0 bia_undef::undef::f0 dst_f32::blocked:acdb:f0,attr-scratchpad:user ,"
    "alg:convolution_direct,{2},{3}",
    "1.6": "dnnl_verbose,exec,cpu,{0},jit:avx512_common,{1},src_f32::blocked:abcd:f0 wei_f32::blocked:Acdb16a:f0 "
    "bia_undef::undef::f0 dst_f32::blocked:aBcd16b:f0,,alg:convolution_direct,{2},{3}",
    "1.0": "mkldnn_verbose,exec,{0},gemm:jit,{1},src_f32::blocked:abcd:f0 wei_f32::blocked:abcd:f0 "
    "bia_undef::undef::f0 dst_f32::blocked:abcd:f0,alg:convolution_direct,{2},{3}",
}
OLD = (
    "mkldnn_verbose,exec,convolution,jit:avx2,forward_training,fsrc:nChw8c fwei:OIhw8i8o fbia:undef fdst:nChw8c,"
    "alg:convolution_direct,{},{}"
)


@settings(max_examples=60)
@given(version=st.sampled_from([*ONEDNN]), spec=specs(), milliseconds=st.floats(1e-3, 1e4))
def test_a_line_of_each_onednn_is_its_problem_and_time(version: str, spec: ConvSpec, milliseconds: float) -> None:
    line = ONEDNN[version].format("convolution", "forward_training", descriptor(spec, outputs=True), milliseconds)
    (problem,) = read(f"I0101 app] {line}").problems
    assert (problem.spec, problem.dtype, problem.pass_, problem.epilogue) == (spec, "fp32", None, None)
    assert problem.logged_s == pytest.approx(milliseconds / 1000)
    assert read_shape(line).problems[0].spec == spec


@settings(max_examples=25)
@given(specs())
def test_a_line_of_0_18_names_no_data_type_and_may_have_a_decimal_comma(spec: ConvSpec) -> None:
    text = descriptor(spec, outputs=True)
    (problem,) = read(f"{OLD.format(text, '6,2902')}\n{OLD.format(text, '3.7098')}").problems
    assert (problem.spec, problem.dtype, problem.count) == (spec, None, 2)
    assert problem.logged_s == pytest.approx(5e-3)


def test_passes_epilogues_and_what_convbench_lacks_are_told_from_a_onednn_log() -> None:
    line, sizes = ONEDNN["3.7"], "mb2_ic3oc8_ih32oh16kh3sh2dh0ph1_iw32ow16kw3sw2dw0pw1"
    forward = line.format("convolution", "forward_inference", sizes, 1)
    biased = forward.replace("bia:undef::undef:::", "bia:f32:a:blocked:a::f0")
    reading = read(
        "\n".join(
            [
                "onednn_verbose,v1,info,oneDNN v3.7.1",
                line.format("reorder", "undef", "2x8x16x16", 1),
                forward.replace(",exec,", ",create:cache_miss,"),
                biased,
                biased.replace("scratchpad:user", "post-ops:eltwise_relu"),
                biased.replace("scratchpad:user", "post-ops:sum+eltwise_relu"),
                line.format("convolution", "backward_data", sizes, 2),
                line.format("convolution", "backward_weights", sizes, 3),
                forward.replace(":f32:", ":bf16:"),
                forward.replace("src:f32:", "src:u8:"),
                line.format("convolution", "forward_training", sizes.replace("_ih", "_id4od4kd1_ih"), 1),
                line.format("convolution", "forward_training", "mb2_ic3", 1),
            ]
        )
    )
    spec = "n2c3h32w32k8r3s3_st2_pd1"
    assert rows(reading) == [
        (spec, 2, "fp32", None, "bias"),
        (spec, 1, "fp32", None, "bias_relu"),
        (spec, 1, "fp32", "dgrad", None),
        (spec, 1, "fp32", "wgrad", None),
        (spec, 1, "bf16", None, None),
    ]
    assert [one.logged_s for one in reading.problems] == [0.001, 0.001, 0.002, 0.003, 0.001]
    assert told(reading) == {
        "lines of a oneDNN log that run nothing": 2,
        "oneDNN operations that are not a convolution": 1,
        "fused operations": 1,
        "data types that convbench does not support": 1,
        "3-D problems": 1,
        "lines that cannot be read": 1,
    }


class Net(nn.Module):
    """Convolutions of every kind that torch has, in a net small enough to run in a test."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4, bias=False)
        self.up = nn.ConvTranspose2d(8, 4, (3, 4), stride=(2, 1), output_padding=(1, 0), bias=False)
        self.second.weight.requires_grad_(False)  # torch counts that of each group for all channels
        self.row = nn.Conv1d(4, 2, 5, stride=2, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.up(self.second(self.second(self.first(x))))
        z: torch.Tensor = self.row(y.flatten(2))
        return z


def counted_macs(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops()) / 2


def macs(problems: tuple[Problem, ...]) -> int:
    """The multiply-adds of problems by the sizes that they say; those of a gradient are those of the forward pass."""
    return sum(one.spec.macs * one.count for one in problems)


def step(net: nn.Module, x: torch.Tensor) -> None:
    net(x).sum().backward()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_onednns_own_log_has_the_multiply_adds_that_torch_counts(capfd: pytest.CaptureFixture[str]) -> None:
    net, x = Net(), torch.randn(2, 3, 16, 12, requires_grad=True)
    counted = counted_macs(lambda: step(net, x))
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
        step(net, x)
    reading = read(capfd.readouterr().out)
    passes = {one.pass_ for one in reading.problems}
    assert {None, "dgrad"} <= passes
    assert all(one.logged_s is not None and one.logged_s > 0 for one in reading.problems)
    by_pass = {pass_: macs(tuple(one for one in reading.problems if one.pass_ == pass_)) for pass_ in passes}
    # Some gradients run without oneDNN; what it ran is among what torch counts, and the forward passes are all its own.
    assert 0 < macs(reading.problems) <= counted
    assert by_pass[None] > counted / 5


# torch


class Arguments(TorchDispatchMode):
    """Writes a dump of the operators that run, as torchbench's operator inputs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.lines: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # torch's
        def text(value: object) -> str:
            if isinstance(value, torch.Tensor):
                short = {"float32": "f32", "float16": "f16"}.get(str(value.dtype).removeprefix("torch."), "other")
                return f"T({list(value.shape)}, {short})"
            return f"[{', '.join(map(text, value))}]" if isinstance(value, list) else repr(value)

        self.lines += [f"Operator: {function}", f"cnt: 1, (({', '.join(map(text, args))},), {{}})"]
        return function(*args, **(kwargs or {}))


def test_a_dump_of_operators_has_the_multiply_adds_that_torch_counts() -> None:
    net, x = Net(), torch.randn(2, 3, 16, 12, requires_grad=True)
    with Arguments() as dump:
        step(net, x)
    reading = read("\n".join(dump.lines))
    assert macs(reading.problems) == counted_macs(lambda: step(net, x))
    assert [one.count for one in reading.problems if str(one.spec) == "n2c8h8w6k8r3s3_pd2_dl2_g4"] == [2, 2]
    assert {one.epilogue for one in reading.problems} == {None, "bias"}
    assert set(told(reading)) == {"operators that are not a convolution", "gradients of a bias"}


@pytest.mark.parametrize("count", ["cnt: 3, ", '{"count": 3, "inputs": "'])
def test_a_dump_names_its_types_and_counts(count: str) -> None:
    call = "((T([2, 3, 8, 8], f16{0}), T([4, 3, 3, 3], f16), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1), {{}})"
    end = '"}' if "inputs" in count else ""
    reading = read(
        f'"aten.convolution.default": [\n{count}{call.format("")}{end}\n'
        f"{count}{call.format(', stride=(192, 1, 24, 3)')}{end}\n{count}{call.replace('f16', 'i8').format('')}{end}\n"
    )
    assert rows(reading) == [("n2c3h8w8k4r3s3", 6, "fp16", None, None)]
    assert "data types that convbench does not support" in told(reading)


@pytest.mark.parametrize(
    ("mask", "transposed", "passes"),
    [
        ("[True, False, False]", "False", ["dgrad"]),
        ("[False, True, True]", "False", ["wgrad"]),
        ("[True, True, False]", "False", ["dgrad", "wgrad"]),
        ("[True, False, False]", "True", [None]),
        ("[False, True, False]", "True", ["wgrad"]),
    ],
)
def test_the_mask_of_a_backward_convolution_says_its_passes(
    mask: str, transposed: str, passes: list[str | None]
) -> None:
    reading = read(
        "Operator: aten.convolution_backward.default\ncnt: 1, ((T([2, 4, 8, 8], f32), T([2, 4, 8, 8], f32), "
        f"T([4, 4, 3, 3], f32), [4], [1, 1], [1, 1], [1, 1], {transposed}, [0, 0], 1, {mask}), {{}})"
    )
    assert [one.pass_ for one in reading.problems] == passes
    assert told(reading) == ({"gradients of a bias": 1} if mask.endswith("True]") else {})


@pytest.mark.filterwarnings("ignore:.*Profiler clears events")  # torch 2.11, whatever is asked of it
def test_a_trace_of_the_profiler_has_the_multiply_adds_and_times_that_torch_counts(tmp_path: Path) -> None:
    net, x = Net(), torch.randn(2, 3, 16, 12, requires_grad=True)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        step(net, x)
    path = tmp_path / "trace.json"
    profiled.export_chrome_trace(str(path))
    reading = read_suite(str(path))
    assert macs(reading.problems) == counted_macs(lambda: step(net, x))
    forward = [one for one in reading.problems if one.pass_ is None or one.spec.c == 4]  # the transposed one
    seconds = sum(one.logged_s * one.count for one in forward if one.logged_s is not None)
    events = [one for one in profiled.events() if one.name == "aten::convolution"]
    assert seconds == pytest.approx(sum(one.cpu_time_total for one in events) * 1e-6, rel=0.05)
    table = read_foreign(
        profiled.key_averages(group_by_input_shape=True).table(max_name_column_width=55) + "\nic3ih8oc4kh3\n",
        suite="table",
        origin="table.txt",
    )
    kind = next(kind for kind in told(table) if "export_chrome_trace" in kind)
    assert told(table)[kind] >= 4
    assert len(table.problems) == 1


def test_the_trace_of_a_gpu_has_sizes_and_no_times() -> None:
    text = load_script("fuzz_files").TRACE
    assert [one.logged_s for one in read(text).problems] == [8.5e-6]
    on_gpu = text.replace("]}\n", ', {"ph": "X", "cat": "kernel", "name": "implicit_gemm"}]}\n')
    assert [one.logged_s for one in read(on_gpu).problems] == [None]


def test_a_trace_without_shapes_says_how_to_record_them() -> None:
    reading = read('{"traceEvents": [{"name": "aten::convolution", "cat": "cpu_op", "dur": 3}]}')
    assert reading.problems == ()
    assert told(reading) == {"events without sizes; profile with record_shapes=True": 1}


# TensorRT


def layer(x: tuple[int, ...], w: tuple[int, ...], *, kind: str = "Convolution", **values: object) -> dict[str, object]:
    """A layer as TensorRT lists it; the size of its output is torch's."""
    stride, padding, groups = (
        values.get(name, usual) for name, usual in (("stride", 1), ("padding", 0), ("groups", 1))
    )
    call: Callable[..., torch.Tensor] = F.conv2d if kind == "Convolution" else F.conv_transpose2d
    options = {"stride": stride, "padding": padding, "groups": groups}
    y = call(torch.empty(x, device="meta"), torch.empty(w, device="meta"), **options)
    return {
        "Name": f"{kind} of {x}",
        "LayerType": "CaskConvolution" if kind == "Convolution" else "CaskDeconvolutionV2",
        "Inputs": [{"Name": "x", "Location": "Device", "Dimensions": [*x], "Format/Datatype": "Row major linear FP32"}],
        "Outputs": [{"Name": "y", "Location": "Device", "Dimensions": [*y.shape], "Format/Datatype": "FP32"}],
        "ParameterType": kind,
        "Kernel": [*w[2:]],
        "PaddingMode": "kEXPLICIT_ROUND_DOWN",
        "PrePadding": [padding, padding],
        "PostPadding": [padding, padding],
        "Stride": [stride, stride],
        "Dilation": [1, 1],
        "OutMaps": y.shape[1],
        "Groups": groups,
        "Weights": {"Type": values.get("dtype", "Half"), "Count": 8},
        "Bias": {"Type": "Float", "Count": values.get("bias", 0)},
        "Activation": values.get("activation", "NONE"),
    }


def unquoted(text: str) -> str:
    """As trtexec prints it, a layer on a line."""
    return re.sub(r'"(\w[\w/]*)":', r"\1:", text)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("printed", [json.dumps, unquoted], ids=["a file", "printed"])
def test_the_layers_of_an_engine_are_its_problems(printed: Callable[[str], str], indent: int | None) -> None:
    layers = [
        layer((1, 3, 32, 24), (8, 3, 3, 3), stride=2, padding=1, bias=8, activation="RELU"),
        layer((1, 8, 16, 12), (8, 2, 1, 1), groups=4, dtype="Float"),
        layer((1, 8, 16, 12), (8, 4, 4, 4), kind="Deconvolution", stride=2, padding=1),
        layer((1, 8, 16, 12), (8, 8, 1, 1), dtype="Int8"),
        layer((1, 8, 16, 12), (8, 8, 3, 3), activation="SIGMOID"),
        {"Name": "pool", "LayerType": "CaskPooling", "Inputs": [], "Outputs": [], "ParameterType": "Pooling"},
    ]
    text = json.dumps({"Layers": layers, "Bindings": ["x"]}, indent=indent)
    reading = read(f"[01/02/2026-10:00:00] [I] Layers:\n{unquoted(text)}" if printed is unquoted else text)
    assert rows(reading) == [
        ("n1c3h32w24k8r3s3_st2_pd1", 1, "fp16", None, "bias_relu"),
        ("n1c8h16w12k8r1s1_g4", 1, "fp32", None, None),
        ("n1c4h32w24k8r4s4_st2_pd1", 1, "fp16", "dgrad", None),
        ("n1c8h16w12k8r3s3", 1, "fp16", None, None),
    ]
    assert reading.problems[0].name == "Convolution of (1, 3, 32, 24)"
    assert told(reading) == {
        "data types that convbench does not support": 1,
        "fused operations": 1,
        "TensorRT layers that are not a convolution": 1,
    }


def test_layers_whose_sizes_do_not_fit_or_are_not_there_are_told() -> None:
    wrong = layer((1, 3, 32, 24), (8, 3, 3, 3)) | {"Stride": [2, 2]}
    assert told(read(json.dumps({"Layers": [wrong]}))) == {"problems with inconsistent sizes": 1}
    dynamic = json.dumps({"Layers": [layer((1, 3, 32, 24), (8, 3, 3, 3))]}).replace("[1, 3, 32, 24]", "[-1, 3, 32, 24]")
    assert told(read(dynamic)) == {"TensorRT layers whose sizes are chosen in each run": 1}
    names = read('{"Layers": ["Conv__25 + Relu"\n,"MaxPool2d"\n],\n"Bindings": ["x:0"\n]}')
    assert told(names) == {"TensorRT layers without sizes; build the engine with --profilingVerbosity=detailed": 1}


# Tables


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (
            "name n c h w k r s stride_h stride_w pad_h pad_w\nfirst 1 3 32 24 8 3 5 2 1 1 2\n",
            [("first", "n1c3h32w24k8r3s5_st2x1_pd1x2")],
        ),
        (
            """
| layer | batch | C_in | C_out | H | W | K | S | P | groups | #calls |
|:------|------:|-----:|------:|---|---|---|---|---|--------|-------:|
| **conv1** | 8 | 3 | 64 | 56 | 56 | 7x7 | 2 | 3 | 1 | 2 |
| dw | 8 | 64 | 64 | 28 | 28 | 3 | 1 | 1 | 64 | 5 |
""",
            [("conv1", "n8c3h56w56k64r7s7_st2_pd3"), ("dw", "n8c64h28w28k64r3s3_pd1_g64")],
        ),
        (
            """
| Input Size | Filter size | # of Filters | Padding (h, w) | Stride (h, w) |
|------------|-------------|--------------|----------------|---------------|
| W = 700, H = 161, C = 1, N = 4 | R = 5, S = 20 | 32 | 0, 0 | 2, 2 |
""",
            [("n4c1h161w700k32r5s20_st2", "n4c1h161w700k32r5s20_st2")],
        ),
        (
            "input  weight  stride  padding  output\n(1, 8, 14, 14)  [16, 4, 3, 3]  1  (1, 1)  1x16x14x14\n",
            [("n1c8h14w14k16r3s3_pd1_g2", "n1c8h14w14k16r3s3_pd1_g2")],
        ),
        (
            "n c h w k r s p q stride pad\n1 3 8 8 4 3 3 8 8 1 1\n",
            [("n1c3h8w8k4r3s3_pd1", "n1c3h8w8k4r3s3_pd1")],
        ),
    ],
    ids=["a suite's columns", "torch's letters", "DeepBench", "tensors", "output"],
)
def test_a_table_of_shapes_is_its_rows(table: str, found: list[tuple[str, str]]) -> None:
    reading = read(f"The layers:\n\n{table}")
    assert [(one.name, str(one.spec)) for one in reading.problems] == found
    assert told(reading) == {"lines without a problem": 1}
    assert [one.count for one in reading.problems] == ([2, 5] if "#calls" in table else [1])


def test_rows_that_do_not_fit_are_told_and_a_blank_line_ends_a_table() -> None:
    reading = read(
        "n c h w k r s pad out\n1 3 8 8 4 3 3 1 x\n1 3 8 8 4 3 3\n"
        "1 3 8 8 4 3 -3 1 x\n1 3 2 2 4 3 3 0 x\n\nic3ih8oc4kh3\n"
    )
    assert [str(one.spec) for one in reading.problems] == ["n1c3h8w8k4r3s3_pd1", "n2c3h8w8k4r3s3"]
    assert told(reading) == {"tables without stride, taken for none": 1, "lines that cannot be read": 3}
    wrong = read("n c h w k r s p q stride pad\n1 3 8 8 4 3 3 7 8 1 1\n1 3 8 8 4 3 3 8 8 1 1\n")
    assert len(wrong.problems) == 1
    assert "whose P is 8" in wrong.left_out[0].detail


def test_a_table_that_lacks_a_size_says_so() -> None:
    with pytest.raises(ConvbenchError, match=r"line 1: a table with c h k n name w does not say the whole problem"):
        read("name n c h w k\nfirst 1 3 8 8 4\n")


# The command


def test_times_are_a_column_of_the_list_and_of_a_suite(cli: Cli, tmp_path: Path) -> None:
    log = tmp_path / "net.log"
    sizes = "mb2_ic3oc8_ih32oh16kh3sh2dh0ph1_iw32ow16kw3sw2dw0pw1"
    line = ONEDNN["3.7"]
    log.write_text(
        "\n".join(line.format("convolution", kind, sizes, 2.5) for kind in ("forward_inference", "backward_data"))
    )
    done = cli("list", "suites", log)
    header, first, second = (one.split("\t") for one in done.out.splitlines())
    assert header == ["row", "problem", "count", "each", "pass", "logged_s", "source or purpose"]
    assert (first[4], first[5]) == ("", "0.0025")
    assert second[4] == "dgrad"
    (tmp_path / "verbose.csv").write_text(log.read_text())
    assert cli("list", "suites", tmp_path / "verbose.csv").out.count("0.0025") == 2
    suite = tmp_path / "mine.csv"
    suite.write_text("n,c,h,w,k,r,s,logged_s\n1,3,8,8,4,3,3,0.5e-3\n1,3,9,9,4,3,3,\n")
    assert [one.logged_s for one in read_suite(str(suite)).problems] == [0.0005, None]
    suite.write_text("n,c,h,w,k,r,s,logged_s\n1,3,8,8,4,3,3,fast\n")
    with pytest.raises(ConvbenchError, match="line 2: logged_s is 'fast'"):
        read_suite(str(suite))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("fuzz_files")


def test_no_damaged_file_is_a_traceback(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--files", "12", "--seed", "3"], kinds=script.KINDS) == 0
    out = capsys.readouterr().out
    assert out.count(": 12 damaged files") == len(script.KINDS)


def test_every_kind_of_file_is_read_undamaged(script: ModuleType, tmp_path: Path) -> None:
    for name, text in script.LOGS.items():
        (tmp_path / name).write_text(text)
        assert read_suite(str(tmp_path / name)).problems, name


def test_a_traceback_over_a_damaged_file_is_found(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(path: Path) -> tuple[int, str]:
        return -1, f"ValueError: {path.name}"

    assert script.main(["--files", "1", "--kind", "dump.txt"], broken, script.KINDS) == 1
    assert "dump.txt 0 0: exit code -1: ValueError" in capsys.readouterr().out
