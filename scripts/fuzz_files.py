"""Does a damaged file end in a traceback, another exit code than 0 to 3, or a wait?

Small files of each kind that convbench reads, damaged at random, each given to its command: logs and suites to `list
suites`, results to `report`, pictures and weights to `run`, ONNX to `model`:
python scripts/fuzz_files.py --files 500. Exit 1 where one broke a rule; each is printed with its seed.
"""

import argparse
import io
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

LONGEST_CPU_S = 5
ALLOWED = {0, 1, 2, 3}

MIOPEN = """\
MIOpen(HIP): Info [get_device_name] Raw device name: gfx1100
MIOpen(HIP): Command [LogCmdConvolution] MIOpenDriver.exe convbfp16 -n 2 -c 4 -H 8 -W 8 -k 4 -y 3 -x 3 -p 1 -q 1 -F 1
"./bin/MIOpenDriver conv --batchsize 2 --in_channels 4 --in_h 9 --in_w 9 --out_channels 8 --forw 2 --gpubuffer_check 0"
['/opt/rocm/bin/MIOpenDriver', 'convfp16', '-n', '1', '-c', '4', '-H', '8', '-W', '8', '-k', '4', '-g', '2', '-F', '0']
"""
BENCHDNN = """\
--reset --dt=f32,bf16
--mb=2 --dir=FWD_B
g2ic4ih8oc4oh8kh3ph1n"first*2"
--deconv ic4ih8oc6kh3sh2
0:PASSED __REPRO: --conv mb1ic3ih9oc4kh3n"second"
"""
VERBOSE = """\
onednn_verbose,v1,info,oneDNN v3.7.1 (commit 0000000)
onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx2,forward_training,src:f32:a:blocked:abcd::f0 \
wei:f32:a:blocked:Acdb8a::f0 bia:f32:a:blocked:a::f0 dst:f32:a:blocked:aBcd8b::f0,attr-scratchpad:user,\
alg:convolution_direct,mb2_ic3oc8_ih32oh16kh3sh2dh0ph1_iw32ow16kw3sw2dw0pw1,0.25
dnnl_verbose,exec,cpu,convolution,jit:avx512_common,backward_data,src_f32::blocked:abcd:f0 wei_f32::blocked:Acdb16a:f0 \
bia_undef::undef::f0 dst_f32::blocked:aBcd16b:f0,,alg:convolution_direct,\
mb1_ic3oc64_ih224oh112kh7sh2dh0ph3_iw224ow112kw7sw2dw0pw3,0.988
mkldnn_verbose,exec,convolution,jit:avx2,forward_training,fsrc:nChw8c fwei:OIhw8i8o fbia:x fdst:nChw8c,\
alg:convolution_direct,mb48_g2ic48oc192_ih32oh32kh1sh1dh0ph0_iw32ow32kw1sw1dw0pw0,6,2902
"""
DUMP = """\
Operator: aten.add.Tensor
cnt: 3, ((T([2, 4, 8, 8], f16), T([2, 4, 8, 8], f16)), {})
Operator: aten.convolution.default
cnt: 2, ((T([2, 3, 8, 8], f16), T([4, 3, 3, 3], f16), None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1), {})
cnt: 1, ((T([2, 4, 8, 8], f16), T([4, 6, 4, 4], f16), T([6], f16), [2, 2], [1, 1], [1, 1], True, [0, 0], 1), {})
Operator: aten.convolution_backward.default
cnt: 1, ((T([2, 4, 8, 8], f16), T([2, 3, 8, 8], f16), T([4, 3, 3, 3], f16), [0], [1, 1], [1, 1], [1, 1], False, \
[0, 0], 1, [True, True, False]), {})
"""
TRACE = """\
{"schemaVersion": 1, "traceEvents": [
  {"ph": "X", "cat": "cpu_op", "name": "aten::conv2d", "ts": 1, "dur": 9, "args": {"Input Dims": [[2, 3, 8, 8]]}},
  {"ph": "X", "cat": "cpu_op", "name": "aten::convolution", "ts": 2, "dur": 8.5, "args": {
    "Concrete Inputs": ["", "", "", "[2, 2]", "[1, 1]", "[1, 1]", "False", "[0, 0]", "1"],
    "Input type": ["float", "float", "", "ScalarList", "ScalarList", "ScalarList", "Scalar", "ScalarList", "Scalar"],
    "Input Dims": [[2, 3, 8, 8], [4, 3, 3, 3], [], [], [], [], [], [], []]}},
  {"ph": "X", "cat": "cpu_op", "name": "aten::convolution", "ts": 3, "dur": 1}
]}
"""
LAYERS = """\
{"Layers": [{
  "Name": "conv1 + relu",
  "LayerType": "CaskConvolution",
  "Inputs": [{"Name": "x", "Dimensions": [1,3,32,32], "Format/Datatype": "Row major linear FP32"}],
  "Outputs": [{"Name": "y", "Dimensions": [1,8,16,16], "Format/Datatype": "Row major linear FP32"}],
  "ParameterType": "Convolution", "Kernel": [3,3], "PaddingMode": "kEXPLICIT_ROUND_DOWN", "PrePadding": [1,1],
  "PostPadding": [1,1], "Stride": [2,2], "Dilation": [1,1], "OutMaps": 8, "Groups": 1,
  "Weights": {"Type": "Float", "Count": 216}, "Bias": {"Type": "Float", "Count": 8}, "Activation": "RELU"
},{
  "Name": "pool", "LayerType": "CaskPooling", "Inputs": [], "Outputs": [], "ParameterType": "Pooling"
}], "Bindings": ["x"]}
"""
MARKDOWN = """\
The layers:

| layer | batch | C_in | C_out | H | W | K   | S | P | groups |
| ----- | ----: | ---: | ----: | - | - | --- | - | - | ------ |
| conv1 | 8     | 3    | 64    | 56| 56| 7x7 | 2 | 3 | 1      |
| conv2 | 8     | 64   | 64    | 28| 28| 3   | 1 | 1 | 64     |

| Input | Weight | Stride | Padding |
|-------|--------|--------|---------|
| 1x3x224x224 | (64, 3, 7, 7) | 2 | (3, 3) |
"""
COLUMNS = """\
name   n  c  h   w   k   r  s  stride  pad
first  1  3  32  32  8   3  3  1       1
second 4  8  16  16  16  3  3  (2, 2)  (1, 1)
"""
CSV = """\
name,n,c,h,w,k,r,s,stride_h,stride_w,pad_h,pad_w,logged_s
first,1,3,32,32,8,3,3,1,1,1,1,0.001
second,4,8,16,16,16,3,3,2,2,1,1,
"""
RESULTS = Path(__file__).parents[1] / "tests" / "results" / "quick-cpu-zen4.csv"
LOGS = {  # what --suite reads
    "miopen.log": MIOPEN,
    "benchdnn.txt": BENCHDNN,
    "verbose.log": VERBOSE,
    "dump.txt": DUMP,
    "trace.json": TRACE,
    "layers.json": LAYERS,
    "table.md": MARKDOWN,
    "columns.txt": COLUMNS,
    "suite.csv": CSV,
}
KINDS = {
    "results.csv": "".join(RESULTS.read_text(encoding="utf-8").splitlines(keepends=True)[:5]),
    **LOGS,
}
JUNK = (
    *"-1 0 99999999999999999999 1e309 nan [ ] { } ( ) ' \" ` , ; | \\ # -- == é ٣ T( ic3 MIOpenDriver None".split(),
    *("\0", "\x1b[31m", "\n", "\r", "\n\n", "\u2028", "[" * 3000, "((" * 500, "A" * 5000, "-"),
)


def binary_kinds() -> dict[str, bytes]:
    """A picture, weights and a model, each in its own format."""
    import onnx
    import torch
    from onnx import TensorProto, helper
    from PIL import Image

    picture, weights = io.BytesIO(), io.BytesIO()
    Image.radial_gradient("L").resize((12, 10)).save(picture, "PNG")
    torch.save({"state_dict": {"conv.weight": torch.ones(2, 1, 3, 3)}}, weights)
    x, w, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 3, 8, 8]), ("w", [4, 3, 3, 3]), ("y", [1, 4, 6, 6]))
    )
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "net", [x, w], [y])
    return {
        "photo.png": picture.getvalue(),
        "weights.pt": weights.getvalue(),
        "net.onnx": onnx.helper.make_model(graph).SerializeToString(),
    }


def command(path: Path) -> list[str]:
    """The command that reads such a file."""
    match path.suffix:
        case ".png":
            return ["run", "--data", f"image:{path}", "--backend", "unfold-matmul"]
        case ".pt":
            small = ["--image-size", "8", "--batch-size", "1", "--backend", "unfold-matmul"]
            return ["run", "--weights", str(path), *small]
        case ".onnx":
            return ["model", str(path), "--no-time"]
    return ["report", str(path)] if path.name == "results.csv" else ["list", "suites", str(path)]


def damage(content: str | bytes, dice: random.Random) -> bytes:
    """A file with a few random changes: cut off, mixed up, doubled, with bytes that are no text."""
    return damage_text(content, dice) if isinstance(content, str) else damage_bytes(content, dice)


def damage_bytes(data: bytes, dice: random.Random) -> bytes:
    for _ in range(dice.choice((1, 1, 2, 3, 5, 8))):
        start = dice.randrange(len(data) + 1)
        end = min(len(data), start + dice.choice((0, 1, 1, 2, 5, 20, 200)))
        match dice.randrange(4):
            case 0:
                data = data[:start] + data[end:]
            case 1:
                data = data[:start] + dice.randbytes(dice.choice((1, 2, 4, 50))) + data[end:]
            case 2:
                data = data[:end] + data[start:]
            case _:
                data = data[:start] if dice.random() < 0.3 else data
    return data


def damage_text(text: str, dice: random.Random) -> bytes:
    for _ in range(dice.choice((1, 1, 2, 3, 5, 8))):
        start = dice.randrange(len(text) + 1)
        end = min(len(text), start + dice.choice((0, 1, 1, 2, 5, 20, 200)))
        match dice.randrange(6):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:start] + dice.choice(JUNK) + text[end:]
            case 2:
                text = text[:end] + text[start:]
            case 3:
                text = text[:start] if dice.random() < 0.3 else text
            case 4:
                lines = text.splitlines(keepends=True)
                dice.shuffle(lines)
                text = "".join(lines) if dice.random() < 0.5 else text
            case _:
                digits = [place for place, letter in enumerate(text) if letter.isdigit()] or [0]
                at = dice.choice(digits)
                text = text[:at] + dice.choice(("-1", "0", "999999999", "1.5", "")) + text[at + 1 :]
    data = text.encode(errors="replace")
    if dice.random() < 0.2 and data:
        at = dice.randrange(len(data))
        data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
    return data


def listed(path: Path) -> tuple[int, str]:
    """Exit code of the command that reads the file, and what it said."""
    from convbench.cli import main

    out, err = io.StringIO(), io.StringIO()
    words = command(path)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException as error:  # whatever it is, it is what is looked for
            return -1, f"{type(error).__name__}: {error}"
    return code, err.getvalue()


def fault(code: int, said: str, cpu_s: float) -> str:
    """What is wrong with how a file ended; "" where nothing is."""
    if code not in ALLOWED or "Traceback (most recent call last)" in said:
        return f"exit code {code}: {said.strip()[-300:]}"
    if code == 2 and said.count("\n") != 1:
        return f"{said.count(chr(10))} lines: {said.strip()[:300]}"
    if set("\x1b\x07\u202e") & set(said):
        return f"it steers the terminal: {said!r}"
    return f"{cpu_s:.0f} s" if cpu_s > LONGEST_CPU_S else ""


def main(
    arguments: list[str] | None = None,
    see: Callable[[Path], tuple[int, str]] = listed,
    kinds: Mapping[str, str | bytes] | None = None,
) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500, help="damaged files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", metavar="NAME", help="only this one, such as miopen.log")
    parser.add_argument("--show", action="store_true", help="print what was said of those that end with an error")
    given = parser.parse_args(arguments)
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (kinds or {**KINDS, **binary_kinds()}).items():
            if given.kind not in (None, name):
                continue
            codes: Counter[int] = Counter()
            for number in range(given.files):
                seed = f"{name} {given.seed} {number}"
                path = Path(folder) / name
                path.write_bytes(damage(content, random.Random(seed)))
                start = time.process_time()
                code, said = see(path)
                codes[code] += 1
                if given.show and code:
                    print(f"{seed}: {said.strip()[:300]}")
                if wrong := fault(code, said, time.process_time() - start):
                    faults += 1
                    print(f"{seed}: {wrong}")
            ends = ", ".join(f"{count} with exit code {code}" for code, count in sorted(codes.items()))
            print(f"{name}: {given.files} damaged files, {ends}")
    print(f"{faults} broke a rule")
    return 1 if faults or given.files < 1 else 0


if __name__ == "__main__":
    sys.exit(main())
