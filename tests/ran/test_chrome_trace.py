"""Is a profile read as it was recorded?"""

from typing import Any

import pytest

from convbench.ran.chrome_trace import CALL, MemoryBlock, read_trace


def span(name: str, begin: float, end: float, cat: str = "cpu_op") -> dict[str, Any]:
    return {"ph": "X", "cat": cat, "name": name, "ts": begin, "dur": end - begin, "args": {}}


def memory(when: float, nbytes: int, address: int, device_type: int = 0) -> dict[str, Any]:
    args = {"Bytes": nbytes, "Addr": address, "Device Type": device_type, "Device Id": -1}
    return {"ph": "i", "cat": "cpu_instant_event", "name": "[memory]", "ts": when, "args": args}


def test_blocks_stand_in_their_operators_and_freed_ones_are_told_from_kept() -> None:
    trace = read_trace(
        [
            {"ph": "M", "name": "process_name"},
            memory(1, 999, 7),
            span(CALL, 10, 50, "user_annotation"),
            span("aten::conv2d", 11, 49),
            span("aten::empty", 12, 13),
            memory(12.5, 144, 1),
            span("aten::resize_", 20, 21),
            memory(20.5, 36, 2),
            memory(30, -144, 1),
            memory(31, -999, 7),
            memory(40, 50, 1),
            memory(60, 12, 9),
            span("aten::add", 61, 62),
        ]
    )
    assert trace.operators == ("aten::conv2d", "aten::empty", "aten::resize_")
    assert trace.blocks == (
        MemoryBlock(nbytes=144, operators=("aten::conv2d", "aten::empty")),
        MemoryBlock(nbytes=36, operators=("aten::conv2d", "aten::resize_"), kept=True),
        MemoryBlock(nbytes=50, operators=("aten::conv2d",), kept=True),
    )
    assert trace.peak_nbytes == 180


def test_on_cuda_the_devices_blocks_and_kernels_count_and_the_hosts_do_not() -> None:
    events = [
        span(CALL, 10, 50, "user_annotation"),
        span("aten::cudnn_convolution", 11, 49),
        memory(12, 802_816, 1, device_type=1),
        memory(13, 64, 2, device_type=0),
        memory(14, 4_096, 3, device_type=1),
        memory(15, -4_096, 3, device_type=1),
        span("void cudnn::winograd_nonfused::winogradForwardData4x4<float>", 70, 80, "kernel"),
        span("cudaLaunchKernel", 20, 21, "cuda_runtime"),
    ]
    trace = read_trace(events, device="cuda")
    assert [block.nbytes for block in trace.blocks] == [802_816, 4_096]
    assert [block.kept for block in trace.blocks] == [True, False]
    assert trace.peak_nbytes == 806_912
    assert trace.kernels == ("void cudnn::winograd_nonfused::winogradForwardData4x4<float>",)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [span("aten::conv2d", 1, 2)],
        [{"cat": "user_annotation", "name": CALL, "ts": 1}],
        [span(CALL, 1, 9, "user_annotation"), {"name": "[memory]", "ts": 2, "args": {"Device Type": 0}}],
    ],
)
def test_a_trace_of_another_form_is_a_value_error(events: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="a trace without the call"):
        read_trace(events)
