"""Does `convbench explain` ask a quiz, print a sheet, draw slides and films, and open its page in a browser?"""

import io
import json
import webbrowser
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import explain


@pytest.fixture(autouse=True)
def plain_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def quiz(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, replies: str, *words: str) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(replies))
    code, out, err = explain(capsys, "--quiz", *words)
    assert (code, err) == (0, "")
    return out


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    code, out, _ = explain(capsys, "--quiz", *words, "--json")
    assert code == 0
    questions: list[dict[str, object]] = json.loads(out)["questions"]
    return questions


def test_a_quiz_grades_names_the_mistake_and_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("1-2", "--seed", "3", "--questions", "4")
    questions = asked(capsys, *words)
    right = [",".join(map(str, one["answer"])) for one in questions]  # type: ignore[call-overload]  # a list of integers
    given, mistake = questions[1]["slips"][0]  # type: ignore[index]  # a list of pairs
    wrong = ",".join(map(str, given))
    out = quiz(capsys, monkeypatch, f"{right[0]}\nwhat\n{wrong}\n\n{right[3]}\n", *words)
    text = " ".join(out.split())
    assert text.count("✓ Right: ") == 2
    assert "Type " in text
    assert f"✗ Not quite. {wrong}: {mistake}. It is {right[1]}." in text
    assert f"It is {right[2]}." in text
    assert "2 of 4 answers right. level 1: 1 of 2, level 2: 1 of 2." in text
    assert "--seed 4" in text
    assert max(map(len, out.splitlines())) <= 80


def test_the_end_of_the_input_ends_a_quiz(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out = quiz(capsys, monkeypatch, "\n", "4", "--questions", "8")
    assert "0 of 1 answer right." in out
    assert quiz(capsys, monkeypatch, "", "4").count("/10 ━") == 1


def test_a_seed_picks_the_questions_and_their_letters_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, "3", "--seed", "5") == asked(capsys, "3", "--seed", "5")
    assert asked(capsys, "3", "--seed", "5") != asked(capsys, "3", "--seed", "6")
    assert "H_out" in str(asked(capsys, "2"))
    assert "H_out" not in str(asked(capsys, "2", "--names", "cudnn"))


def test_a_sheet_is_the_same_again_and_is_not_replaced_unasked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sheets = [tmp_path / name for name in ("a.html", "b.html")]
    for sheet in sheets:
        assert explain(capsys, "--quiz", "2", "--seed", "7", "--html", str(sheet))[0] == 0
    assert sheets[0].read_bytes() == sheets[1].read_bytes()
    assert "convbench explain --quiz 2 --questions 10 --seed 7 --html quiz.html" in sheets[0].read_text()
    code, out, err = explain(capsys, "--quiz", "2", "--html", str(sheets[0]))
    assert (code, out, "exists" in err) == (2, "", True)


def test_slides_and_a_film_go_to_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    png, gif = tmp_path / "step.png", tmp_path / "step.gif"
    words = ("--step", "flatten", "--png", str(png), "--gif", str(gif))
    assert explain(capsys, *words) == (0, "", f"convbench: wrote {png}\nconvbench: wrote {gif}\n")
    for file, kind in ((png, "PNG"), (gif, "GIF")):
        with Image.open(file) as picture:
            assert (picture.format, picture.size) == (kind, (1280, 720))
    code, _, err = explain(capsys, *words)
    assert (code, "exists" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--quiz", "5"], "--quiz '5': give a level from 1 to 4, or several such as 1-3 or 1,4"),
        (["--quiz", "3-1"], "--quiz '3-1': give a level from 1 to 4"),
        (["--quiz", "1,"], "--quiz '1,': give a level from 1 to 4"),
        (["--quiz", "1-4", "--questions", "3"], "--questions 3: --quiz 1-4 has 4 levels; ask at least one of each"),
        (["--quiz", "1", "--questions", "0"], "--questions 0: give 1 or more."),
        (["--quiz", "1", "--step", "4"], "--step cannot be combined with --quiz, which takes"),
        (["n1c1h4w4k1r2s2", "--quiz", "1"], "SHAPE cannot be combined with --quiz, which takes --seed"),
        (["--questions", "3"], "--questions can only be used with --quiz; the walk takes"),
        (["--quiz", "1", "--no-key"], "--no-key leaves the answers out of a sheet; add --html FILE"),
        (["--quiz", "1", "--json", "--html", "-"], "--html and --json both go to stdout"),
        (["--open"], "--open can only be used with --quiz or --html; the walk takes"),
        (["--html", "-", "--open"], "--open shows a file; name it, such as --html page.html"),
        (["--quiz", "1", "--open"], "--open shows a file; name it, such as --html page.html"),
        (["--png", "-"], "--png -: name a file that ends in .png"),
        (["--gif", "a.png"], "--gif a.png: name a file that ends in .gif"),
        (
            ["n1c1h28w28k1r3s3", "--gif", "a.gif"],
            "step operands: its numbers would be too small to read; try a smaller",
        ),
        (["--algorithm", "fft", "--png", "a.png"], "--png cannot be combined with --algorithm, which takes"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_2(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = explain(capsys, *words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_page_is_opened_where_there_is_a_browser_and_a_line_says_where_there_is_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    opened: list[str] = []

    def show(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", show)
    page = tmp_path / "a page.html"
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    code, _, err = explain(capsys, "--quiz", "1", "--html", str(page), "--open")
    assert code == 0
    assert opened == []
    assert err.splitlines()[1:] == [
        f"convbench: there is no browser here; open {page.as_uri()} on a machine that has one"
    ]
    monkeypatch.setenv("DISPLAY", ":0")
    assert explain(capsys, "--html", str(page), "--open", "--overwrite")[::2] == (0, f"convbench: wrote {page}\n")
    assert opened == [page.as_uri()]
