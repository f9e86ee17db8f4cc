"""Is the kernel that a model's table names the one of its own calls?"""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from convbench.models.costs import ModelCosts, measure
from convbench.models.inputs import parse_inputs
from convbench.models.source import ModelSource
from convbench.ran.of_model import watch_what_ran
from convbench.ran.seen import Ran
from convbench.ran.watch import watch
from convbench.ran.witness import NOT_RUN, observe
from convbench.spec import ConvSpec


def counted(model: nn.Module, sizes: str) -> ModelCosts:
    return measure(ModelSource(name="own", origin="", make=lambda: model), parse_inputs(sizes), timed=False)


def test_each_call_is_watched_in_its_own_dtype_layout_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Ran] = []

    def watched(calls: Sequence[Ran], *, threads: int, run: bool) -> list[Ran]:
        assert threads == torch.get_num_threads()
        assert run
        asked.extend(calls)
        return list(calls)

    monkeypatch.setattr("convbench.ran.of_model.watch", watched)
    for model, dtype in ((mixed(), "fp32"), (mixed().half(), "fp16")):
        watch_what_ran(counted(model, "1x32x9x9"))
        assert [(one.dtype, one.layout) for one in asked] == [(dtype, "nchw"), (dtype, "nchw"), (dtype, "nhwc")]
        asked.clear()


OWN_LOG = """
import sys
import torch
from tests.ran.test_of_model import mixed
torch.set_num_threads(int(sys.argv[1]))
with torch.no_grad():
    mixed()(torch.zeros(1, 32, 40, 40))
"""


def mixed() -> nn.Module:
    """A depthwise layer that hands its image on in NCHW, and one whose weight is in channels_last."""
    torch.manual_seed(0)
    last = nn.Conv2d(32, 32, 3).to(memory_format=torch.channels_last)
    return nn.Sequential(nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.Conv2d(32, 32, 3), last)


@pytest.mark.program
def test_the_kernels_are_those_of_onednns_own_log_of_the_model() -> None:
    costs = watch_what_ran(counted(mixed(), "1x32x40x40"))
    environment = os.environ | {"ONEDNN_VERBOSE": "1"}
    command = [sys.executable, "-c", OWN_LOG, str(costs.threads)]
    log = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    primitives = [line.split(",") for line in log.splitlines() if ",convolution," in line]
    assert [row.shape.layout for row in costs.rows] == ["nchw", "nchw", "nhwc"]
    assert [row.ran for row in costs.rows] == [f"oneDNN {one[one.index('convolution') + 1]}" for one in primitives]


def test_nothing_runs_where_it_is_not_to_run_and_torch_is_asked_what_it_selects() -> None:
    spec = ConvSpec.parse("n64c256h512w512k256r3s3_pd1")  # 17 GB of x, and two million million multiply-adds
    for layout in ("nchw", "nhwc"):
        seen = observe(spec, layout=layout, run=False)
        assert (seen["selected"], seen["trace"], seen["trace_why"]) == ("Mkldnn", None, NOT_RUN)
    small = observe(ConvSpec.parse("n1c1h4w4k1r2s2"), run=False)
    assert small["selected"] == observe(ConvSpec.parse("n1c1h4w4k1r2s2"))["selected"] == "Slow2d"


@pytest.mark.program
def test_a_call_that_takes_too_much_memory_is_ended_and_the_next_ones_are_answered() -> None:
    specs = [ConvSpec.parse(text) for text in ("n1c1h4w4k1r2s2", "n64c64h512w512k1r1s1", "n1c1h5w5k1r2s2")]
    calls = [Ran.blank(spec) for spec in specs]
    first, large, last = watch(calls, memory_nbytes=2 * 2**30)
    assert (first.name, last.name) == ("Slow2d", "Slow2d")
    assert large.name == "unknown"
    assert large.trouble == "the process that runs it used more than 2.0 GiB"
