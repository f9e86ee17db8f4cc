"""Do `convbench cost` and `convbench model` print what they should, and is the suite they write taken as it is?"""

import csv
import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from convbench.explain.ledger import Ledger, check_ledger
from convbench.spec import ConvSpec
from convbench.suites import load_suite, read_suite
from tests.cli.conftest import run, table
from tests.snapshots import assert_golden

AWKWARD = "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2"
NETS = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, groups=8) for _ in range(3))
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.head = nn.Linear(4, 10)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x).relu()
        return self.head(nn.functional.interpolate(self.up(x), scale_factor=2).mean((2, 3)))

class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat, self.deep = nn.Conv2d(3, 4, 3), nn.Conv3d(1, 2, (1, 3, 3))

    def forward(self, x):
        return self.deep(self.flat(x)[:, None])

def none(): return nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "cost_nets", raising=False)
    (tmp_path / "cost_nets.py").write_text(NETS)
    return tmp_path


@pytest.fixture(autouse=True)
def plain_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def plain(cell: str) -> str:
    """A number with the digits of a pipe."""
    try:
        return f"{float(cell):.6g}"
    except ValueError:
        return cell


def drawn(page: RenderableType, width: int) -> str:
    text = io.StringIO()
    Console(file=text, width=width, force_terminal=True, color_system=None, highlight=False).print(page)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def test_the_ledger_says_which_x_the_tools_saw_where_padding_differs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "cost", "n1c2h4w4k3r2s2_pd0x1x0x1")
    assert code == 0
    rows = {figure: (value, remark) for figure, value, _, remark in (line.split("\t") for line in out.splitlines())}
    macs = 3 * 16 * 2 * 4  # of 4x4 outputs, as many as x has pixels
    assert (rows["macs"][0], rows["flops"][0]) == (str(macs), str(2 * macs))
    assert rows["macs_on_image"][0] == str(3 * 2 * 7 * 7)
    of_torch = {figure: row for figure, row in rows.items() if figure.startswith("FlopCounterMode")}
    assert len(of_torch) == 2
    assert {value for value, _ in of_torch.values()} == {str(2 * macs)}
    assert "the tools saw x padded first, F.pad(x, (0, 1, 0, 1)), then n1c2h5w5k3r2s2" in err


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_ledger_reads_well_at_every_width(width: int) -> None:
    from convbench.explain.ledger import TOOLS, Count
    from convbench.show.ledger import page

    ledger = Ledger(spec=ConvSpec.parse(AWKWARD))
    said = {"FlopCounterMode": (8064, 8064), "torchinfo": (4368, 0), "ptflops": (4368, 0)}
    counts = [
        Count(
            tool=name,
            version="1",
            unit=TOOLS[name].unit,
            expected=TOOLS[name].expected(ledger),
            expected_function=TOOLS[name].expected_function(ledger),
            module=module,
            function=function,
        )
        for name, (module, function) in said.items()
    ]
    counts.append(Count(tool="fvcore", version="1", unit="", expected=1, expected_function=1, why_not="an error"))
    out = drawn(page(ledger, check_ledger(ledger), counts, ["none"], width), width)
    assert max(map(len, out.splitlines())) <= width
    assert_golden(f"ledger_{width}", out)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_model_reads_well_at_every_width(width: int, nets: Path) -> None:
    from dataclasses import replace

    from convbench.models.costs import measure
    from convbench.models.inputs import parse_inputs
    from convbench.models.load import find_model
    from convbench.models.timing import CallTime
    from convbench.show.advice import advice
    from convbench.show.models import page

    costs = measure(find_model("cost_nets:Small"), parse_inputs("1x3x32x40"), timed=False)
    rows = [
        replace(
            row,
            ran="Mkldnn",
            time_share=share,
            times=(CallTime(time_s=share / 100, low_s=share / 101, high_s=share / 99, clean=clean, samples=9),),
            roof_s=share / 200,
            bound="compute",
        )
        for row, share, clean in zip(costs.rows, (0.4996, 0.5, 0.0004), (7, 7, 2), strict=True)
    ]
    counted = replace(costs, rows=tuple(replace(row, ran="Mkldnn") for row in costs.rows))
    costs = replace(costs, rows=tuple(rows), conv_time_share=0.8, passes=9, threads=2)
    for name, one in (("model", costs), ("model_counted", counted)):
        out = drawn(page(one, width, list(advice(one))), width)
        assert max(map(len, out.splitlines())) <= width
        assert_golden(f"{name}_{width}", out)


def test_the_ledger_in_a_pipe_is_rows_and_as_json_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "cost", AWKWARD)
    assert code == 0
    assert "✓ 6 figures match PyTorch: tensor sizes, F.unfold, a convolution of ones" in err
    rows = [line.split("\t") for line in out.splitlines()]
    assert {len(row) for row in rows} == {4}
    figures = {row[0]: row[1] for row in rows if row[3] in ("", "incl. padding", "of the layer")}
    assert (figures["macs"], figures["additions"], figures["receptive_field"]) == ("4032", "3696", "3x3")
    code, out, err = run(capsys, "cost", AWKWARD, "--json")
    found = json.loads(out)
    assert (found["macs"], found["flops"], found["on_image"]["multiplications"]) == (4032, 8064, 3360)
    assert found["bytes"]["fp16"]["x"] == 2 * 2 * 4 * 7 * 9
    assert all(check["holds"] for check in found["checks"])
    assert found["tools"][0]["tool"] == "FlopCounterMode"


def test_a_figure_that_does_not_hold_is_not_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConvSpec, "inner_macs", property(lambda spec: spec.macs))
    code, out, err = run(capsys, "cost", AWKWARD)
    assert (code, out) == (1, "")
    assert "products on the image: 4,032 by arithmetic, 3,360 by a convolution of ones" in err


@pytest.mark.program
def test_a_model_in_a_pipe_is_rows_with_totals_beside_them(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "model", "cost_nets:Small", "--input", "1x3x32x40", "--sort", "model")
    assert code == 0
    rows = list(csv.DictReader(out.splitlines(), delimiter="\t"))
    assert [(row["name"], row["spec"], row["count"]) for row in rows] == [
        ("stem", "n1c3h32w40k8r3s3_st2_pd1", "1"),
        ("blocks.0", "n1c8h16w20k8r3s3_pd1_g8", "3"),
        ("up", "n1c4h32w40k8r2s2_st2", "1"),
    ]
    assert [(row["field_low"], row["field_high"], row["field_exact"]) for row in rows] == [
        ("3", "3", "True"),
        ("7", "15", "True"),
        ("16", "16", "False"),
    ]
    assert sum(float(row["time_share"]) for row in rows) == pytest.approx(1, abs=1e-4)
    assert sum(float(row["macs_share"]) for row in rows) == pytest.approx(1, abs=1e-4)
    assert "5 convolutions, 3 of them distinct: 179 kMAC (179,200), padding counted" in err
    assert "torch's FlopCounterMode counts the same" in err
    assert "not a problem for bench or verify" not in err


@pytest.mark.program
def test_the_suite_that_is_written_is_what_bench_and_verify_take(
    nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explain = ["model", "cost_nets:Small", "--input", "1x3x32x40", "--no-time", "--csv"]
    code, _, err = run(capsys, *explain, "mine.csv")
    assert code == 0
    assert "3 problems in mine.csv: convbench bench --suite mine.csv" in err
    assert [(one.name, one.count, one.spec.macs) for one in load_suite("mine.csv")] == [
        ("stem", 1, 69_120),
        ("blocks.0", 3, 23_040),
        ("up", 1, 40_960),
    ]
    assert run(capsys, "verify", "--suite", "mine.csv", "--backend", "unfold-matmul", "--layout", "nchw")[0] == 0
    timing = ["--backend", "torch", "--no-ceilings", "--no-isolate", "--budget", "0.1", "--csv", "timed.csv"]
    assert run(capsys, "bench", "--suite", "mine.csv", *timing)[0] == 0
    assert [
        (row["name"], row["count"], row["outcome"])
        for row in csv.DictReader(Path("timed.csv").read_text().splitlines())
    ] == [
        ("stem", "1", "timed"),
        ("blocks.0", "3", "timed"),
        ("up", "1", "timed"),
    ]
    code, _, err = run(capsys, *explain, "mine.csv")
    assert code == 2
    assert "mine.csv exists; name another file, or replace it with --overwrite" in err
    assert run(capsys, *explain, "mine.csv", "--overwrite")[0] == 0
    code, out, _ = run(capsys, *explain, "-")
    assert out == Path("mine.csv").read_text()


@pytest.mark.program
def test_the_csv_of_a_model_is_its_table_and_a_suite_of_what_is_2_d(
    nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model", "cost_nets:Both", "--input", "1x3x8x8", "--no-time"]
    _, out, _ = run(capsys, *words)
    code, _, err = run(capsys, *words, "--csv", "both.csv")
    assert code == 0
    assert "1 problem in both.csv, and 1 convolution that bench and verify do not take: convbench bench" in err
    printed, written = table(out), list(csv.DictReader(Path("both.csv").read_text().splitlines()))
    assert [row["name"] for row in printed] == ["flat", "deep"]
    for shown, row in zip(printed, written, strict=True):
        assert set(shown) <= set(row)
        # A suite has dtype and layout where they are not the usual ones: it would run in no other.
        assert (shown.pop("dtype"), shown.pop("layout")) == ("fp32", "nchw")
        assert (row["dtype"], row["layout"]) == ("", "")
        kept = {name: plain(row[name]) for name in shown}
        assert kept == {name: plain(cell) for name, cell in shown.items()}
    reading = read_suite("both.csv")
    assert [(one.name, str(one.spec)) for one in reading.problems] == [("flat", "n1c3h8w8k4r3s3")]
    (left_out,) = reading.left_out
    assert (left_out.kind, left_out.place) == ("conv3d", "both.csv, line 3")
    assert "deep" in left_out.detail


@pytest.mark.program
def test_a_model_as_json_holds_every_name_and_the_honest_fraction(
    nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "model", "cost_nets:Small", "--input", "1x3x32x40", "--no-time", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["convolutions"], found["macs"], found["macs_by_torch"]) == (5, 179_200, 179_200)
    assert found["other_macs"] == {"aten.addmm": 40}
    assert found["conv_share_of_macs"] == pytest.approx(179_200 / 179_240)
    assert found["rows"][1]["names"] == ["blocks.0", "blocks.1", "blocks.2"]
    assert found["conv_share_of_time"] is None


def test_a_model_without_a_convolution_is_exit_3(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "model", "cost_nets:none", "--input", "1x3x16x16", "--csv", "none.csv")
    assert code == 3
    assert "runs no convolution" in err
    assert not Path("none.csv").exists()


def test_nothing_is_said_of_the_timing_of_a_model_that_does_not_run(
    nets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "model", "cost_nets:Small", "--input", "1x4x8x8")
    assert code == 2
    assert err.startswith("convbench: the model cost_nets:Small does not run on --input 1x4x8x8: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["model", "resnet5"], "did you mean 'resnet50'"),
        (["model", "no.onnx"], "no model at no.onnx"),
        (["model", "resnet18", "--input", "big"], "write it like 1x3x224x224"),
        (
            ["model", "resnet18", "--csv", "mine.txt"],
            "name a FILE.csv, so that bench and verify can read it as a suite",
        ),
        (["model", "resnet18", "--csv", "-", "--json"], "both would go to stdout"),
        (["cost", "nonsense"], "is not a valid shape"),
        (["explain", "resnet50:conv1", "--ledger"], "this is a command of its own now: convbench cost resnet50:conv1"),
        (["explain", "--model", "resnet18", "--no-time"], "of its own now: convbench model resnet18 --no-time"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_a_suite_whose_macs_are_not_those_of_its_row_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text("n,c,h,w,k,r,s,macs\n1,3,8,8,4,3,3,3888\n1,3,8,8,4,3,3,3887\n")
    code, _, err = run(capsys, *shlex.split(f"verify --suite {path}"))
    assert code == 2
    assert "line 3: macs is '3887', but n1c3h8w8k4r3s3 has 3888" in err


@pytest.mark.program
@pytest.mark.parametrize(
    "words", [("cost", "resnet50:conv1"), ("model", "cost_nets:Small", "--input", "1x3x32x40")], ids=" ".join
)
def test_costs_are_told_without_torchs_compiler(words: tuple[str, ...], nets: Path) -> None:
    """It takes seconds to import; a model of torchvision brings it along by itself."""
    code = (
        "import sys\nfrom convbench.cli import main\n"
        f"try:\n    main([*{words!r}])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('COMPILER', 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=nets)
    assert done.stdout.endswith("COMPILER False\n")
