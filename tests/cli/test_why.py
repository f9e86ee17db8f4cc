"""Do `convbench why` and `convbench error` print what they should, and exit as they should?"""

import io
import json
import re
from typing import Any

import pytest

from convbench.cli.why import EXAMPLE
from convbench.explain.questions import QUESTIONS, patches
from tests.cli.conftest import explain, run
from tests.snapshots import assert_golden

MESSAGE = (
    "Given groups=1, weight of size [4, 3, 3, 3], expected input[1, 4, 8, 8] to have 3 channels, but got 4 channels"
)


@pytest.fixture(autouse=True)
def plain_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def test_the_help_asks_all_of_them() -> None:
    listed = EXAMPLE.split("Questions:\n")[1].split("\n\b")[0].splitlines()
    assert [tuple(line.split(maxsplit=1)) for line in listed] == [(one.name, one.text) for one in QUESTIONS.values()]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_answers_that_no_machine_changes_read_well_at_every_width(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = run(capsys, "why", "flip,order,nine,floor,fold,memory", "n1c2h7w6k2r3s2_st2_pd1")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= width
    assert_golden(f"why_{width}", out)


def test_the_cell_that_was_asked_for_is_the_one_that_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "why", "flip", "--at", "0,0")
    assert "y[0,0,0,0] is 44, and would be 26" in " ".join(out.split())


def test_padding_that_differs_is_asked_about_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "why", "floor,nine,padding", "n1c1h4w4k1r2s2_pd0x1x0x1")
    assert (code, err) == (0, "")
    text = " ".join(out.replace("│", "").split())
    assert "⌊(4 + 0 + 1 − 1·(2−1) − 1) / 2⌋" in text  # noqa: RUF001
    assert "F.unfold gives (1, 4, 16)" in text
    assert "x was padded first: F.pad(x, (0, 1, 0, 1)), then padding=(0, 0)." in text


def test_the_json_of_all_questions_holds_answers_numbers_sources_and_proofs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "why", "all", "--json")
    assert (code, err) == (0, "")
    found: list[dict[str, Any]] = json.loads(out)["answers"]
    assert [one["name"] for one in found] == list(QUESTIONS)
    for one in found:
        assert one["answer"]
        assert one["sources"]
        assert one["numbers"]
        assert one["proof"]
        assert all(comparison["holds"] for comparison in one["proof"])


def test_a_pipe_gets_no_escape_codes_and_a_terminal_the_same_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, piped, _ = run(capsys, "why", "flip,groups")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    _, coloured, _ = run(capsys, "why", "flip,groups")
    assert "\x1b" not in piped
    assert "\x1b" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == piped


def test_a_number_that_does_not_hold_is_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "unfolded_shape", lambda spec: (spec.n, 5, 9))
    code, out, err = run(capsys, "why", "flip,nine")
    assert (code, out) == (1, "")
    assert "nine: rows fails" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["why", "flipp"], "did you mean 'flip'?"),
        (["why", ""], "unknown question"),
        (["why", "flip", "--at", "9,9"], "outside the output"),
        (["error", "no such thing"], "unknown message"),
        (["error", ""], "the message is empty"),
        (["why", "flip", "n1c1h1w1k1r2s2"], "no output"),
        (["why", "memory", "n64c512h512w512k512r3s3"], "the limit is"),
        (["explain", "--error", "a b"], "this is a command of its own now: convbench error 'a b'"),
        (
            ["explain", "note", "--why=flip", "--json"],
            "this is a command of its own now: convbench why flip note --json",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_message_is_decoded_at_every_width(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = run(capsys, "error", MESSAGE)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= width
    assert_golden(f"error_{width}", out)


def test_a_traceback_comes_through_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.stdin", io.StringIO(f"Traceback (most recent call last):\n  ...\nRuntimeError: {MESSAGE}\n")
    )
    code, out, _ = run(capsys, "error", "-", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["name"] == "channels"
    assert found["fixes"][0]["spec"] == "n1c4h8w8k4r3s3"
    assert found["fixes"][0]["shape"] == [1, 4, 6, 6]


def test_the_shape_of_a_fix_can_be_explained(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "error", MESSAGE)
    for line in re.findall(r"convbench explain (\S+)", out):
        assert explain(capsys, line)[0] == 0


def test_too_many_images_are_one_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "why", "nine", "n9000c3h64w64k2r3s3", "--image", "7")
    assert code == 0
    assert "so this shows one: n1c3h64w64k2r3s3" in err
    assert "(1, 27, 3844)" in " ".join(out.split())


def test_the_answers_speak_torchs_letters_or_the_short_ones(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "why", "nine")
    assert "4 = C_in·kH·kW = 1·2·2: the kernel elements" in out
    _, out, _ = run(capsys, "why", "nine", "--names", "cudnn")
    assert "4 = C·R·S = 1·2·2: the kernel elements" in out
    code, out, err = run(capsys, "why", "nine", "--names", "nvidia")
    assert (code, out) == (2, "")
    assert "nvidia" in err
    assert "cudnn" in err
