"""Does `convbench ran` print what it should, where it should, and exit as it should?"""

import json

import pytest

from convbench.ran import watch as ran_module
from tests.cli.conftest import Cli


@pytest.fixture(autouse=True)
def plain_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.program
def test_what_ran_is_said_claim_by_claim_and_call_by_call(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    done = cli("ran", "resnet50:layer1.0.conv2", "--dtype", "fp32,fp64")
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 60
    assert done.out.count("WHAT RAN") == 2
    text = " ".join(done.out.split())
    assert "the input has 200,704 elements (more than 20,480), so torch uses oneDNN" in text
    assert "torch ran Mkldnn, which is oneDNN" in text
    assert "it built the patch matrix (14,450,688 B = 1,806,336 numbers of fp64)" in text
    assert "✓ seen ≈ inferred from what was seen ? unknown" in text


@pytest.mark.program
def test_json_says_all_with_its_evidence(cli: Cli) -> None:
    done = cli("ran", "--json", "--dtype", "fp32,fp64", "--layout", "nhwc", "--threads", "1")
    assert (done.code, done.err) == (0, "")
    single, double = json.loads(done.out)["ran"]
    assert (single["dtype"], double["dtype"]) == ("fp32", "fp64")
    assert single["backend"] == double["backend"] == "Slow2d"
    assert single["setting"]["threads"] == 1
    assert (single["patches"]["kind"], single["patches"]["nbytes"]) == ("whole", 144)
    assert single["patch_matrix_nbytes"] == 144
    assert double["patch_matrix_nbytes"] == 288
    assert single["sentence"].endswith("it built the patch matrix (144 B = 36 floats)")
    for claim in single["claims"]:
        assert claim["kind"] in ("fact", "inference", "unknown")
        assert all(evidence["asked"] and evidence["answered"] for evidence in claim["evidence"])


def test_the_walks_last_step_says_what_ran(cli: Cli) -> None:
    done = cli("explain")
    assert done.code == 0
    assert "PyTorch really built this patch matrix: 144 B of scratch = 36 numbers in fp32" in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ran", "--at", "1,1"], "No such option: --at"),
        (["explain", "--dtype", "fp64", "--ran"], "a command of its own now: convbench ran --dtype fp64"),
        (["ran", "--precision", "tf32"], "TF32 only exists on CUDA tensor cores"),
        (["ran", "--dtype", "fp8"], "unknown dtype 'fp8'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(words: list[str], message: str, cli: Cli) -> None:
    done = cli(*words)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


def test_where_nothing_can_be_found_out_the_exit_is_3(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ran_module, "_RUN", "raise SystemExit(7)")
    done = cli("ran")
    assert done.code == 3
    assert "the process that runs it ended with code 7" in " ".join(done.out.split())
