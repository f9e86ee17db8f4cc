"""Bad usage: one line on stderr that says what was given and what is allowed, exit 2, no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list"], "Missing command"),
        (["benhc"], "No such command 'benhc'"),
        (["bench", "--nope"], "No such option: --nope"),
        (["bench", "--budget", "long"], "--budget"),
        (["bench", "--budget", "-1"], "value for --budget"),
        (["bench", "--budget", "inf"], "value for --budget inf"),
        (["bench", "--timeout", "inf"], "value for --timeout inf"),
        (["bench", "--memory-limit", "inf"], "value for --memory-limit inf"),
        (["verify", "--memory-limit", "1e300"], "value for --memory-limit 1e300"),
        (["verify", "--seconds", "inf"], "value for --seconds inf"),
        (["bench", "--match", "a{99999999999}"], "is not a regular expression"),
        (["run", "--save", ""], "the picture is a PNG file; try --save picture.png"),
        (["run", "--save", "."], "the picture is a PNG file; try --save picture.png"),
        (["explain", "n1c1h4w4k1r2s2", "--svg", "."], "--svg: . is a folder; name a file"),
        (["report", "tests/results/quick-cpu-zen4.csv", "--png", "a.jpg"], "name a file that ends in .png"),
        (["bench", "--threads", "-1"], "--threads -1: give whole numbers, such as 1,2,4"),
        (["verify", "--threads", "1,two"], "--threads two: give whole numbers, such as 1,2,4"),
        (["bench", "--threads", "1,,2", "--threads", "1.5"], "--threads 1.5: give whole numbers"),
        (["bench", "--threads", ","], "--threads ,: give whole numbers"),
        (["bench", "--threads", "99999999999"], "--threads 99999999999: this process may use"),
        (["verify", "--seed", "99999999999999999999"], "value for --seed"),
        (["bench", "--confidence", "1"], "try --confidence 0.998"),
        (["report", "pyproject.toml"], "convbench bench or verify"),
        (["report", "nowhere.csv"], "cannot read nowhere.csv"),
        (["bench", "--suite", "resnet5"], "did you mean 'resnet50'?"),
        (["bench", "--suite", "nowhere.csv"], "cannot read the suite nowhere.csv"),
        (["bench", "--shape", "n1c1"], "'n1c1' is not a valid shape: it has no h, w, k, r, s"),
        (["bench", "--shape", "resnet50:conv9"], "unknown row of suite resnet50 'conv9'"),
        (["bench", "--backend", "cuddn"], "did you mean 'cudnn'?"),
        (["bench", "--device", "tpu"], "unknown device 'tpu': choose from cpu, cuda"),
        (["bench", "--dtype", "fp8"], "unknown dtype 'fp8'"),
        (["bench", "--dtype", "float8"], "unknown dtype 'float8'"),
        (["bench", "--device", "gpu"], "choose from cpu, cuda; did you mean 'cuda'?"),
        (["verify", "--device", "gpu:1"], "did you mean 'cuda'?"),
        (
            ["explain", "resnet50"],
            "name a row, such as resnet50:conv1 (convbench list suites resnet50)",
        ),
        (["verify", "--layout", "nchw,chwn"], "unknown layout 'chwn'"),
        (["verify", "--precision", "tf23"], "did you mean 'tf32'?"),
        (["verify", "--plugin", "nowhere.py"], "plug-in nowhere.py is not a file"),
        (["bench", "--shape", "n1c1h4w4k1r2s2", "--csv", "no/such/dir/x.csv"], "--csv: there is no folder no/such/dir"),
        (["bench", "--resume"], "--resume continues a file: give it with --csv FILE"),
        (["verify", "--resume", "--csv", "-"], "give it with --csv FILE"),
        (["bench", "--resume", "--overwrite", "--csv", "x.csv"], "without --overwrite"),
        (["bench", "--resume", "--csv", "/dev/null"], "/dev/null: it is not a regular file"),
        (["bench", "--no-isolate", "--timeout", "3"], "remove --no-isolate"),
        (["bench", "--timeout", "0"], "value for --timeout"),
        (["list", "everything"], "No such command 'everything'"),
        (["list", "suites", "resnet5"], "did you mean 'resnet50'?"),
        (["bench", "--batch", "eight"], "--batch eight: it takes numbers"),
        (["bench", "--batch", ""], "--batch : it takes numbers"),
        (["bench", "--batch", "8", "--axis", "n=1"], "n occurs twice"),
        (
            ["verify", "--axis", "m=1"],
            "unknown axis 'm': choose from n c h w k r s groups ck hw rs stride padding dilation dtype layout",
        ),
        (["verify", "--axis", "threads=1,2"], "threads have their own option, --threads 1,2"),
        (["bench", "--axis", "dtype=fp32", "--dtype", "bf16"], "dtype is already set"),
        (["bench", "--axis", "dtype="], "write it like --axis dtype=ONE,OTHER"),
        (["bench", "--axis", "dtype=fp8"], "unknown dtype 'fp8'"),
        (["bench", "--axis", "c=1:1000", "--axis", "k=1:1000"], "are 12,000,000 problems; the limit is 100,000"),
        (["verify", "--batch", "1:9000", "--shape", "n1c1h4w4k1r2s2"], "more than 100,000 cases"),
        (["bench", "--match", "r3("], "--match 'r3(' is not a regular expression at position 2"),
        (["bench", "--exclude", "["], "--exclude '[' is not a regular expression at position 0"),
        (["bench", "--backend", "/(/"], "--backend '(' is not a regular expression at position 0"),
        (["bench", "--shape", "MIOpenDriver conv -Q 1"], "--shape: unknown MIOpenDriver flag '-Q'"),
        (["explain", "ic3id8oc4kd3"], "has no 2-D forward convolution: 3-D problems"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(cli: Cli, words: list[str], said: str) -> None:
    done = cli(*words)
    assert done.code == 2
    assert said in done.err
    assert done.err.startswith("convbench: ")
    assert done.err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_bad_usage(cli: Cli) -> None:
    done = cli("bench", "--device", "cuda")
    assert done.code == 2
    assert "sees no CUDA device; try --device cpu" in done.err


@pytest.mark.parametrize("words", [["--suite", ""], ["--backend", ""], ["--dtype", ","]])
@pytest.mark.parametrize("command", ["bench", "verify"])
def test_an_empty_selection_is_exit_3(cli: Cli, command: str, words: list[str], tmp_path: Path) -> None:
    done = cli(command, *words, "--csv", tmp_path / "x.csv")
    assert done.code == 3
    assert "nothing was run" in done.err
    assert not (tmp_path / "x.csv").exists()


def test_only_skips_are_exit_3(cli: Cli) -> None:
    assert cli("verify", "--backend", "cudnn", "--shape", "n1c1h4w4k1r2s2").code == 3


def test_no_words_at_all_is_help(cli: Cli) -> None:
    done = cli()
    assert done.code == 0
    assert "Usage: convbench" in done.out
    assert not done.err


def in_a_shell(words: str) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m convbench {words}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.program
@pytest.mark.parametrize("csv", ["", "--csv -"])
def test_a_reader_that_has_enough_is_no_error(csv: str) -> None:
    assert in_a_shell(f"verify --backend torch --dtype fp32 {csv} | head -1") == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    code, err = in_a_shell("list suites > /dev/full")
    assert code == 2
    assert err == "convbench: No space left on device\n"


def test_the_help_that_is_named_is_the_commands_own(cli: Cli) -> None:
    assert "Try 'convbench report --help'." in cli("report", "a.csv", "--match", "x").err
    assert "Try 'convbench --help'." in cli("nonsense").err


def test_far_more_threads_than_cpus_are_refused(cli: Cli) -> None:
    done = cli("bench", "--shape", "n1c1h4w4k1r2s2", "--threads", "100000")
    assert (done.code, done.out) == (2, "")
    assert "--threads 100000: this process may use" in done.err


def test_an_expression_that_meets_nothing_shows_what_it_is_held_against(cli: Cli) -> None:
    done = cli("bench", "--suite", "resnet50", "--match", "1x1", "--dry-run")
    assert done.code == 3
    assert "patterns match names and sizes, such as resnet50:conv1 n1c3h224w224k64r7s7_st2_pd3" in done.err


def test_a_value_that_typer_refuses_is_told(cli: Cli) -> None:
    done = cli("bench", "--budget", "-1")
    assert "Invalid value for --budget -1: " in done.err
    assert "Invalid value for --budget -2: " in cli("bench", "--budget=-2").err


def test_a_remark_waits_until_the_options_are_valid_and_an_error_is_the_only_line(cli: Cli) -> None:
    words = ("verify", "--shape", "note", "--dtype", "fp32", "--layout", "nchw", "--backend", "/zzz/,torch")
    remark = "convbench: --backend /zzz/ matches no backend; see 'convbench list backends'\n"
    assert cli(*words, "--dry-run").err.startswith(remark)
    done = cli(*words, "--threads", "1,x")
    assert done.code == 2
    assert done.err == "convbench: --threads x: give whole numbers, such as 1,2,4; 0 lets torch choose\n"
    nothing = cli("verify", "--shape", "note", "--backend", "/zzz/")
    assert nothing.code == 3
    assert nothing.err.startswith(remark)  # why nothing is selected


@pytest.mark.parametrize("command", ["bench", "verify"])
def test_an_output_is_checked_before_a_plug_in_is_loaded(cli: Cli, command: str, tmp_path: Path) -> None:
    done = cli(command, "--plugin", tmp_path / "absent.py", "--csv", tmp_path / "none" / "rows.csv")
    assert done.code == 2
    assert "--csv: there is no folder" in done.err
