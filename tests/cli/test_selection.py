"""What bench and verify choose: axes, filters, files of other tools; and --dry-run, which lists it."""

import re
from pathlib import Path

import pytest

from convbench import selection
from convbench.suites import load_suite
from tests.cli.conftest import LAST_TAP, Cli, Done, table

SHAPE = "n1c4h9w8k6r3s3_pd1"


def dry(cli: Cli, *words: object, command: str = "bench") -> tuple[Done, list[dict[str, str]]]:
    done = cli(command, "--dry-run", *words)
    return done, table(done.out)


def test_batch_sets_n_on_every_problem(cli: Cli) -> None:
    done, rows = dry(cli, "--suite", "resnet50", "--batch", "1,8", "--backend", "torch")
    assert done.code == 0
    assert len(rows) == 2 * len(load_suite("resnet50"))
    assert {(row["name"], row["count"]) for row in rows} >= {("layer1.0.conv2 n=1", "3"), ("layer1.0.conv2 n=8", "3")}
    assert all(row["spec"].startswith("n8c") for row in rows if row["name"].endswith("n=8"))


def test_axes_make_a_product_in_the_order_given(cli: Cli) -> None:
    axes = ["--axis", "dtype=fp32,bf16", "--axis", "hw=8:32:*2", "--axis", "layout=nchw,nhwc"]
    _, rows = dry(cli, "--shape", SHAPE, *axes, "--backend", "torch")
    assert [(row["spec"], row["dtype"], row["layout"]) for row in rows] == [
        (f"n1c4h{hw}w{hw}k6r3s3_pd1", dtype, layout)
        for hw in (8, 16, 32)
        for dtype in ("fp32", "bf16")
        for layout in ("nchw", "nhwc")
    ]


def test_what_is_no_convolution_is_told_and_the_rest_runs(cli: Cli) -> None:
    done, rows = dry(cli, "--shape", SHAPE, "--axis", "groups=1:4", "--backend", "torch")
    assert done.code == 0
    assert [row["name"] for row in rows] == [SHAPE, f"{SHAPE}_g2"]
    assert "2 combinations are not a convolution and left out, e.g. n1c4h9w8k6r3s3_pd1 groups=3: groups=3" in done.err


def test_nothing_legal_is_exit_3(cli: Cli) -> None:
    done = cli("bench", "--shape", SHAPE, "--axis", "groups=5")
    assert done.code == 3
    assert "1 combination is not a convolution" in done.err
    assert "the selection has no case; nothing was run" in done.err


def test_problems_that_become_alike_are_told(cli: Cli) -> None:
    done, rows = dry(cli, "--shape", "n1c4h9w8k6r3s3,n2c4h9w8k6r3s3", "--batch", "4", "--backend", "torch")
    assert [(row["spec"], row["count"]) for row in rows] == [("n4c4h9w8k6r3s3", "2")]
    assert "1 problem has the same shape as another on these axes and run once" in done.err


def test_the_same_problem_named_twice_is_there_once(cli: Cli) -> None:
    _, rows = dry(cli, "--suite", "quick,quick", "--backend", "torch")
    assert len(rows) == len(load_suite("quick"))


def test_filters_choose_problems_and_what_they_empty_is_exit_3(cli: Cli) -> None:
    _, rows = dry(cli, "--match", "^quick:dense", "--match", "r7s7", "--exclude", "late$", "--backend", "torch")
    assert [row["name"] for row in rows] == ["dense3x3_early", "dense3x3_middle", "stem7x7", "depthwise7x7"]
    _, rows = dry(cli, "--match", "^dense3x3_early$", "--match", "^quick:stem7x7$", "--backend", "torch")
    assert [row["name"] for row in rows] == ["dense3x3_early", "stem7x7"]
    done = cli("bench", "--match", "nothing", "--exclude", "x")
    assert done.code == 3
    assert "--match nothing --exclude x leaves none of 12 problems" in done.err


@pytest.mark.program
def test_backends_are_chosen_by_name_and_by_expression(cli: Cli, tmp_path: Path) -> None:
    plugin = tmp_path / "bad.py"
    plugin.write_text(LAST_TAP)
    words = ["--shape", SHAPE, "--plugin", plugin]
    _, (row,) = dry(cli, *words, "--backend", "torch,/^unfold-.{6,6}$/,/tap/", "--backend", "onednn")
    assert row["backends"] == "torch unfold-einsum unfold-matmul last-tap onednn"
    done, (row,) = dry(cli, *words, "--backend", "/unfold/", "--backend", "unfold-matmul,/nobody/")
    assert row["backends"] == "unfold-einsum unfold-matmul"
    assert "--backend /nobody/ matches no backend" in done.err
    done = cli("bench", *words, "--backend", "/nobody/")
    assert done.code == 3
    assert "the selection has no backend" in done.err


def test_a_file_of_other_tools_is_a_suite(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "net.log"
    path.write_text(
        "MIOpen: Command [LogCmdConvolution] ./bin/MIOpenDriver convfp16 -n 2 -c 4 -H 9 -W 9 -k 4 -y 3 -x 3 -F 1\n"
        'g1mb1ic3ih8oc4kh3n"small"\nic3id8oc4kd3\nic3id9oc4kd3\n'
    )
    done, rows = dry(cli, "--suite", path, "--backend", "torch")
    assert [(row["suite"], row["name"], row["dtype"]) for row in rows] == [
        ("net", "n2c4h9w9k4r3s3", "fp16"),
        ("net", "small", "fp32"),
    ]
    assert f"not supported: 3-D problems (2 times, first {path}, line 3: ic3id8oc4kd3)" in done.err
    _, rows = dry(cli, "--suite", path, "--backend", "torch", "--dtype", "bf16")
    assert {row["dtype"] for row in rows} == {"bf16"}
    _, rows = dry(cli, "--suite", path, "--backend", "torch", "--layout", "nchw", "--pass", "fprop", command="verify")
    assert [row["dtype"] for row in rows] == ["fp16", "fp32", "fp16", "bf16", "fp64"]
    listed = cli("list", "suites", path)
    assert [row["row"] for row in table(listed.out)] == ["n2c4h9w9k4r3s3", "small"]
    assert "3-D problems" in listed.err


def test_a_line_of_another_tool_is_a_shape_commas_and_all(cli: Cli) -> None:
    line = '--mb=1,2 ic3ih8oc4kh3n"a,b"'
    _, rows = dry(cli, "--shape", line, "--shape", f"{SHAPE},resnet50:conv1", "--backend", "torch")
    assert [row["name"] for row in rows] == ["a,b n=1", "a,b n=2", SHAPE, "conv1"]
    _, rows = dry(cli, "--shape", "ic3ih8oc4kh3,ic3ih9oc4kh3", "--backend", "torch")
    assert [row["spec"] for row in rows] == ["n2c3h8w8k4r3s3", "n2c3h9w9k4r3s3"]


def test_a_shape_that_is_left_out_is_told_and_exit_3(cli: Cli) -> None:
    done = cli("bench", "--shape", "ic3id8oc4kd3")
    assert done.code == 3
    assert "not supported: 3-D problems (--shape: ic3id8oc4kd3)" in done.err


def test_an_axis_is_really_run(cli: Cli, tmp_path: Path) -> None:
    words = ["--shape", SHAPE, "--batch", "1,2", "--axis", "dtype=fp32,bf16", "--layout", "nchw", "--backend", "torch"]
    done = cli("verify", *words, "--pass", "fprop", "--csv", tmp_path / "rows.csv")
    assert done.code == 0
    assert [(row["spec"], row["dtype"], row["outcome"]) for row in table(done.out)] == [
        (f"n{n}c4h9w8k6r3s3_pd1", dtype, "verified") for n in (1, 2) for dtype in ("fp32", "bf16")
    ]


@pytest.mark.program
@pytest.mark.parametrize("command", ["bench", "verify"])
def test_a_dry_run_says_everything_and_runs_nothing(
    cli: Cli, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plugin = tmp_path / "loud.py"
    plugin.write_text(LAST_TAP.replace("def conv(w):", "raise SystemExit('it was called')\n    def conv(w):"))
    done, rows = dry(
        cli,
        "--shape",
        SHAPE,
        "--plugin",
        plugin,
        "--backend",
        "torch,cudnn,naive-loops,/unfold/,last-tap",
        "--layout",
        "nchw",
        "--dtype",
        "fp32",
        "--csv",
        "x.csv",
        *(("--pass", "fprop") if command == "verify" else ()),
        command=command,
    )
    assert done.code == 0
    (row,) = rows
    macs = 6 * 9 * 8 * 4 * 9
    assert int(row["flop"]) == 2 * macs
    assert int(row["operand_nbytes"]) == 4 * (4 * 9 * 8 + 6 * 4 * 9 + 6 * 9 * 8)
    assert int(row["needed_nbytes"]) > int(row["operand_nbytes"])
    assert row["backends"] == "torch naive-loops unfold-einsum unfold-matmul last-tap"
    assert row["refused"] == "cudnn: cudnn runs on cuda, not on cpu"
    assert "1 case, 6 rows: 5 would run, 1 would be skipped" in done.err
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py"] in ([], ["__pycache__"])


def test_a_dry_run_refuses_as_the_run_does(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ["--suite", "quick", "--match", "note|early", "--backend", "torch,naive-loops,cudnn"]
    _, rows = dry(cli, *words)
    planned = {
        (row["name"], reason) for row in rows for reason in row["refused"].split("; cudnn")[0].split(": ", 1)[1:]
    }
    run = table(cli("bench", *words, "--budget", "0.02", "--csv", tmp_path / "x.csv").out)
    skipped = {(row["name"], row["reason"]) for row in run if row["outcome"] == "skipped" and row["backend"] != "cudnn"}
    assert {one for one in planned if "limit" in one[1]} == skipped
    assert [row["backends"] for row in rows] == ["torch naive-loops", "torch"]


def test_a_dry_run_that_would_run_nothing_is_exit_3(cli: Cli) -> None:
    assert cli("bench", "--dry-run", "--shape", SHAPE, "--backend", "cudnn").code == 3
    assert cli("bench", "--dry-run", "--match", "nothing").code == 3


def test_too_little_memory_is_foretold(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from convbench.verify import lineup

    monkeypatch.setattr(lineup, "free_nbytes", lambda _: 400_000)
    done, rows = dry(cli, "--shape", f"{SHAPE},n64c64h56w56k64r3s3", "--backend", "torch")
    assert [row["backends"] for row in rows] == ["torch", ""]
    assert "it needs about 2.6 GiB with its oracle" in rows[1]["refused"]
    assert done.code == 0


def test_a_longer_budget_is_a_longer_plan(cli: Cli) -> None:
    times = [
        float(dry(cli, "--shape", SHAPE, "--backend", "torch", "--budget", budget)[1][0]["at_most_s"])
        for budget in (1, 11)
    ]
    assert times[1] - times[0] == pytest.approx(10, rel=1e-4)


def test_a_plan_on_a_terminal_is_a_table_with_its_sum(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    done = cli("bench", "--dry-run", "--suite", "quick", "--dtype", "fp32,bf16", "--backend", "torch,naive-loops")
    lines = re.sub("\x1b\\[[0-9;]*m", "", done.out).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert any("dense3x3_early" in line and "bf16" in line and "231 MFLOP" in line for line in lines)
    assert not any("nchw" in line for line in lines)  # it is the same in every line
    assert any(line.startswith("24 cases, 48 rows:") for line in lines)
    assert any(line.startswith("naive-loops skipped 22 cases, e.g. dense3x3_early") for line in lines)


def test_the_two_limits_agree() -> None:
    from convbench.suites.axes import MOST_PROBLEMS

    assert selection.MOST_CASES == MOST_PROBLEMS


def test_no_backend_among_random_cases_is_nothing_to_do(cli: Cli) -> None:
    done = cli("verify", "--fuzz", "3", "--backend", "/zzz/")
    assert (done.code, done.out) == (3, "")
    assert "the selection has no backend; nothing was run" in done.err


def test_rows_and_a_page_do_not_go_to_one_file_and_a_page_may_be_made_again(cli: Cli, tmp_path: Path) -> None:
    rows, page = tmp_path / "rows.csv", tmp_path / "page.html"
    words = ("verify", "--shape", SHAPE, "--dtype", "fp32", "--layout", "nchw", "--backend", "torch")
    done = cli(*words, "--csv", rows, "--html", rows)
    assert done.code == 2
    assert f"--csv and --html both go to {rows}" in done.err
    assert cli(*words, "--csv", rows, "--html", page).code == 0
    assert cli(*words, "--csv", rows, "--html", page, "--resume").code == 0
    assert cli(*words, "--html", page).code == 2
    assert cli(*words, "--html", page, "--overwrite").code == 0


def test_what_needs_linux_says_what_to_leave_out(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    done = cli("bench", "--shape", SHAPE, "--timeout", "10")
    assert done.code == 2
    assert "--timeout and --memory-limit need Linux, and this is darwin; leave them out" in done.err


def test_a_dry_run_lists_a_case_for_each_number_of_threads(cli: Cli) -> None:
    done, rows = dry(cli, "--shape", SHAPE, "--backend", "torch", "--threads", "1,2", "--threads", "4")
    assert [row["threads"] for row in rows] == ["1", "2", "4"]
    assert "3 cases" in done.err
    _, rows = dry(cli, "--shape", SHAPE, "--backend", "torch")
    assert [row["threads"] for row in rows] == [""]


@pytest.mark.parametrize("word", ["float16", "torch.float16", "FP16", "fp16"])
def test_names_of_torch_are_names_of_dtypes(cli: Cli, word: str) -> None:
    done = cli("verify", "--dtype", word, "--shape", "note", "--backend", "torch", "--dry-run")
    assert done.code == 0
    assert {row["dtype"] for row in table(done.out)} == {"fp16"}
    assert {row["spec"] for row in table(done.out)} == {"n1c1h4w4k1r2s2"}
