"""The table of data types: its facts are torch's, and another entry is all that another data type takes."""

import subprocess
import sys

import pytest
import torch

from convbench.backend import backend
from convbench.call.tensors import TORCH_DTYPE
from convbench.dtypes import DTYPE
from convbench.verify.bounds import accumulator_roundoff
from convbench.verify.lattice import LARGEST_SUM
from tests.conftest import make_case

NEW = '''
"""One more entry, put into the table before anybody reads it; backends that store in it and sum in fp32."""
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location

place = find_spec("convbench").submodule_search_locations[0] + "/dtypes.py"
card = spec_from_file_location("convbench.dtypes", place)
dtypes = sys.modules[card.name] = module_from_spec(card)
card.loader.exec_module(dtypes)
dtypes.DTYPE = {**dtypes.DTYPE, "fp8_e4m3": dtypes.Dtype(
    name="fp8_e4m3", torch="float8_e4m3fn", nbytes=1, digits=4, sums="fp32", factor_digits=4,
    transform_relative_l2=0.2, benchdnn="f8_e4m3")}

import torch
import torch.nn.functional as F
from convbench import ConvSpec, Problem, backend
from convbench.case import cases
from convbench.ceilings.cpu import compute_probes
from convbench.verify.sweep import verify

def conv(x, w, spec):
    return F.conv2d(x.float(), w.float(), None, spec.stride, spec.padding, spec.dilation, spec.groups)

def made(name, store):
    def fn(x, w, spec):
        return store(conv(x, w, spec), x.dtype)
    def fused(x, w, spec, bias, relu):
        y = conv(x, w, spec) + bias.float().reshape(1, -1, 1, 1)
        return store(y.relu() if relu else y, x.dtype)
    fn.__name__ = name
    return backend(family="direct", source="a test", fused=fused)(fn)

def one_off(y, dtype):
    y[..., -1] *= 1.25
    return y.to(dtype)

def unwritten(y, dtype):
    out = torch.empty(y.shape, dtype=dtype)
    out[..., :-1] = y[..., :-1].to(dtype)
    return out

backends = [made("right", lambda y, dtype: y.to(dtype)), made("one_off", one_off), made("unwritten", unwritten)]
spec = ConvSpec.parse("n1c1h4w4k1r2s2")
problems = [Problem(suite="test", name="note", spec=spec, operands=one) for one in ("", "nan_in_first")]
wanted = dict(dtypes=["fp8_e4m3"], layouts=["nchw", "nhwc", "strided"], epilogues=["none", "bias_relu"])
for one in verify(cases(problems, **wanted), backends):
    print(one.backend, type(one.outcome).__name__, getattr(one.outcome, "message", ""))
print("probes", len(list(compute_probes("fp8_e4m3", 1))) > 0)
'''


@pytest.mark.parametrize("name", DTYPE)
def test_digits_and_bytes_are_those_of_torch(name: str) -> None:
    kind = TORCH_DTYPE[name]
    assert torch.finfo(kind).eps == 2.0 ** (1 - DTYPE[name].digits)
    assert kind.itemsize == DTYPE[name].nbytes
    assert DTYPE[name].name == name
    assert DTYPE[DTYPE[name].sums].sums == DTYPE[name].sums


def test_what_is_promised_and_multiplied_follows_from_the_table() -> None:
    assert LARGEST_SUM == {"fp32": 2**23, "fp16": 2**16 - 2**5, "bf16": 2**23, "fp64": 2**52}
    assert {name for name, one in DTYPE.items() if one.narrow} == {"fp16", "bf16"}
    roundoff = {name: accumulator_roundoff(make_case("n1c1h4w4k1r2s2", dtype=name)) for name in DTYPE}
    assert roundoff == {"fp32": 2.0**-24, "fp16": 2.0**-24, "bf16": 2.0**-24, "fp64": 2.0**-53}


@pytest.mark.parametrize(("dtype", "count"), [("fp32", 0), ("fp16", 3), ("bf16", 3), ("fp64", 0)])
def test_partial_sums_are_rounded_only_where_they_are_kept_in_more_bits(dtype: str, count: int) -> None:
    @backend(family="direct", source="a test", roundings=lambda _: 3)
    def mine(x, w, spec):  # type: ignore[no-untyped-def]
        return None

    assert mine.count_roundings(make_case("n1c1h4w4k1r2s2", dtype=dtype)) == count


@pytest.mark.program
def test_a_data_type_that_torch_can_hardly_compute_with_is_one_entry() -> None:
    done = subprocess.run([sys.executable, "-c", NEW], capture_output=True, text=True, check=True)
    *rows, probes = [line.rstrip() for line in done.stdout.splitlines()]
    assert len(rows) == 2 * 3 * 2 * 3
    found = {name: [row.removeprefix(f"{name} ") for row in rows if row.startswith(name)] for name in
             ("right", "one-off", "unwritten")}  # fmt: skip
    assert set(found["right"]) == {"Verified"}
    assert set(found["one-off"]) == set(found["unwritten"]) == {"Wrong"}
    assert probes == "probes True"
