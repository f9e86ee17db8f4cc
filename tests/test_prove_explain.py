"""Does scripts/prove_explain.py prove all, and does it find what is wrong?"""

import re
from types import ModuleType

import pytest

from convbench.explain.algorithms import implicit_gemm
from tests.conftest import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("prove_explain")


def test_every_number_is_right_on_random_problems(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--specs", "25", "--seed", "7"]) == 0
    out, _ = capsys.readouterr()
    rows = {words[0]: words for words in (re.split(r"\s{2,}", line) for line in out.splitlines())}
    for name in ("walk", "loops", "implicit-gemm", "toeplitz", "winograd", "winograd, other tiles", "fft", "backward"):
        _, problems, numbers, wrong = rows[name]
        assert 5 < int(problems) <= 25
        assert int(numbers.replace(",", "")) > 5_000
        assert wrong == "0"


def test_a_wrong_index_is_found_and_exits_1(
    script: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = implicit_gemm.tap_of
    monkeypatch.setattr(implicit_gemm, "tap_of", lambda k, spec: right(k, spec)[:, [0, 2, 1]])
    assert script.main(["--specs", "2", "--seed", "7"]) == 1
    out, _ = capsys.readouterr()
    assert "implicit-gemm: answer against F.conv2d in float64:" in out


def test_proving_nothing_is_no_success(script: ModuleType) -> None:
    assert script.main(["--specs", "0"]) == 1
