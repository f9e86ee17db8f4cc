"""Do the keys do what the help says, does the screen fit, and is the terminal given back?"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.text import Text

from convbench import ConvSpec
from convbench.explain import STEPS
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.interactive import HELP, WalkSession, press, screen
from convbench.show.keyboard import GIVE_BACK, TAKE, parse_keys

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")
AWKWARD = ConvSpec.parse("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2")
LARGE = ConvSpec.parse("n1c64h56w56k2r3s3_pd1")
SIZES = [(60, 24), (80, 24), (120, 40), (60, 12), (200, 60)]
SCREENS = [(spec, size) for spec in (NOTE, AWKWARD) for size in SIZES] + [(LARGE, SIZES[0]), (LARGE, SIZES[-2])]


def session_of(spec: ConvSpec, size: tuple[int, int] = (80, 24)) -> WalkSession:
    return WalkSession(walk=walk(*small_integers(spec), spec, choose_cell(spec)), step="operands", size=size)


def type_keys(session: WalkSession, *keys: str) -> WalkSession:
    for key in keys:
        session = press(session, key)
    return session


def shown(session: WalkSession) -> str:
    return "\n".join(line.plain for line in screen(session))


def place(session: WalkSession) -> tuple[int, int, int, int]:
    cell = session.walk.cell
    return cell.n, cell.k, cell.p, cell.q


@pytest.mark.parametrize(("spec", "size"), SCREENS, ids=str)
def test_every_screen_fits(spec: ConvSpec, size: tuple[int, int]) -> None:
    session = session_of(spec, size)
    for step in "1234567":
        for keys in ((), ("?",), ("?", "1", "enter"), ("e",), ("h",), ("pagedown",), ("a",), ("x",)):
            lines = screen(type_keys(session, step, *keys))
            assert len(lines) == size[1]
            assert max(len(line) for line in lines) <= size[0]


def test_arrows_move_the_cell_and_stop_at_the_border() -> None:
    session = session_of(NOTE)
    assert place(session) == (0, 0, 1, 2)
    assert place(type_keys(session, "left", "up")) == (0, 0, 0, 1)
    assert place(type_keys(session, *["up"] * 5, *["left"] * 5)) == (0, 0, 0, 0)
    assert place(type_keys(session, *["down"] * 5, *["right"] * 5)) == (0, 0, 2, 2)
    assert "y[0,0,2,2] = <144>" in shown(type_keys(session, "down"))


@pytest.mark.parametrize("size", SIZES)
def test_the_followed_column_is_in_sight_at_every_cell(size: tuple[int, int]) -> None:
    """Every other row of outputs: each is drawn anew."""
    session = type_keys(session_of(AWKWARD, size), "4", *["up"] * 4, *["left"] * 7)
    for p in range(0, AWKWARD.p, 2):
        for q in range(AWKWARD.q):
            assert place(session)[2:] == (p, q)
            assert f"[{p * AWKWARD.q + q}]" in shown(session)
            session = press(session, "right")
        session = type_keys(session, "down", "down", *["left"] * 7)


def test_c_k_and_n_pick_channel_filter_and_image_round_and_back() -> None:
    session = session_of(AWKWARD)
    assert place(type_keys(session, "k")) == (0, 4, 0, 6)
    assert place(type_keys(session, "k", "k", "k")) == (0, 0, 0, 6)
    assert place(type_keys(session, "K")) == (0, 2, 0, 6)
    assert place(type_keys(session, "n")) == (1, 3, 0, 6)
    assert place(type_keys(session, "n", "n")) == place(session)
    assert place(type_keys(session, "N")) == (1, 3, 0, 6)
    assert "x[0,2]" in shown(session)
    assert "x[0,3]" in shown(type_keys(session, "c"))
    assert "x[0,2]" in shown(type_keys(session, "c", "c"))
    assert "x[0,3]" in shown(type_keys(session, "C"))


def test_brackets_and_numbers_move_the_step() -> None:
    session = session_of(NOTE)
    assert type_keys(session, "]", "]").step == STEPS[2]
    assert type_keys(session, "[").step == STEPS[0]
    assert type_keys(session, "8", "]").step == STEPS[7]
    assert "4/8 UNFOLD" in shown(type_keys(session, "4"))


def test_a_tall_step_scrolls_to_its_last_line_and_back() -> None:
    session = type_keys(session_of(NOTE, (60, 24)), "7")
    assert "more lines: PgDn" in shown(session)
    assert "Cost: none" not in shown(session)
    below = type_keys(session, "pagedown", "pagedown", " ")
    assert "Cost: none" in shown(below)
    assert "more lines" not in shown(below)
    assert shown(type_keys(below, "pageup", "pageup")) == shown(session)
    assert type_keys(below, "[").scroll == 0
    assert "KEYS" in shown(type_keys(below, "h"))


def test_the_help_names_every_key_and_any_key_leaves_it() -> None:
    session = type_keys(session_of(NOTE), "h")
    assert all(keys in shown(session) for keys, _ in HELP)
    assert type_keys(session, "left").mode == ""
    assert not type_keys(session, "left").done
    assert type_keys(session, "q").done
    assert type_keys(session_of(NOTE), "q").done


def test_a_asks_for_the_walk_s_own_two_ways_and_for_more_once_there_are_more() -> None:
    session = session_of(NOTE)
    assert [type_keys(session, *["a"] * i).step for i in (1, 2, 3)] == ["loops", "multiply", "loops"]
    assert type_keys(session, "d") == session

    def draw(walk: object, width: int) -> list[Text]:
        return [Text(f"{width} wide")]

    more = replace(session, algorithms={"WINOGRAD": draw, "FFT": draw}, backward={"dX": draw})
    assert [type_keys(more, *["a"] * i).page for i in range(4)] == ["", "WINOGRAD", "FFT", ""]
    assert "80 wide" in shown(type_keys(more, "a", "left"))
    assert type_keys(more, "a", "d").page == "dX"
    assert type_keys(more, "a", "]").page == ""
    assert "d dx,dw" in shown(replace(more, size=(120, 24)))
    assert "d dx,dw" not in shown(replace(session, size=(120, 24)))


def test_a_quiz_is_graded_and_scored() -> None:
    session = type_keys(session_of(AWKWARD), "5", "?")
    assert session.question is not None
    assert session.question.text in " ".join(shown(session).split("\n")).replace("  ", " ")
    right = type_keys(session, *session.question.answer_text, "enter")
    assert right.message.startswith(f"Right: {session.question.answer_text}; ")
    assert "1 of 1 right" in right.message
    asked = type_keys(right, "?")
    wrong = type_keys(asked, "-", "5", "backspace", "7", "enter")
    assert wrong.message.startswith("Not quite. It is ")
    assert "1 of 2 right" in wrong.message
    assert type_keys(wrong, "left").message == ""


def test_a_quiz_takes_only_what_a_reply_is_made_of() -> None:
    session = type_keys(session_of(AWKWARD), "7", "?")
    assert type_keys(session, "q", "x", "left", "3").typed == "3"
    again = type_keys(session, "3", "enter")
    assert (again.mode, again.typed) == ("quiz", "")
    assert "Type two numbers, like 1,2" in shown(again)
    left = type_keys(session, "3", "escape")
    assert (left.mode, left.asked) == ("", 0)
    assert len(type_keys(session, *"1" * 99).typed) == 30


def test_an_export_writes_the_frame_and_replaces_nothing(tmp_path: Path) -> None:
    session = replace(type_keys(session_of(NOTE), "4"), folder=tmp_path)
    written = type_keys(session, "e", "t")
    path = tmp_path / f"explain-{NOTE}-unfold-y0_0_1_2.txt"
    assert written.message == f"Written: {path}"
    assert path.read_text(encoding="utf-8") == session.frame().plain()
    path.write_text("mine")
    assert "exists and is unchanged" in type_keys(session, "e", "t").message
    assert path.read_text() == "mine"
    assert type_keys(session, "e", "s").message.endswith(".svg")
    assert type_keys(session, "e", "c").message.endswith(".cast")
    assert len(list(tmp_path.iterdir())) == 3
    assert type_keys(session, "e", "escape").message == ""
    away = replace(session, folder=tmp_path / "gone")
    assert "cannot write " in type_keys(away, "e", "s").message


def test_a_terminal_that_is_too_small_is_told_so() -> None:
    session = session_of(NOTE, (50, 8))
    assert "50x8 is too small: make the terminal 60x12 or larger" in shown(session).replace("\n", " ")
    assert type_keys(session, "left").walk.cell.q == 1


def test_keys_are_read_as_terminals_send_them() -> None:
    assert parse_keys("\x1b[A\x1bOB\x1b[C\x1b[D") == ["up", "down", "right", "left"]
    assert parse_keys("\x1b[5~\x1b[6~\x1b") == ["pageup", "pagedown", "escape"]
    assert parse_keys("a[]\r\x7fé") == ["a", "[", "]", "enter", "backspace", "é"]
    assert parse_keys("\x1b[1;5A\x1b[200~x\x1b[15~") == ["x"]


# The session's leader opens the terminal by its name, so that it is the one whose Ctrl-C and size it hears of.
START = """
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.executable, [sys.executable, "-m", "convbench", "explain", "--interactive"])
"""


class Terminal:
    """convbench explain --interactive in a terminal of its own."""

    def __init__(self, columns: int, lines: int, **settings: str) -> None:
        self.ours, theirs = pty.openpty()
        self.settings = termios.tcgetattr(self.ours)
        self.resize(columns, lines)
        world = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", START],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**world, "TERM": "xterm-256color", **settings},
            start_new_session=True,
        )
        os.close(theirs)
        self.unread = ""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read_until(self, text: str, seconds: float = 120) -> str:
        """What it writes next, to the end of that text."""
        end = time.monotonic() + seconds
        while text not in self.unread:
            assert time.monotonic() < end, f"no {text!r} in {self.unread!r}"
            if select.select([self.ours], [], [], 0.2)[0]:
                self.unread += os.read(self.ours, 65536).decode("utf-8", "ignore")
        before, found, self.unread = self.unread.partition(text)
        return before + found

    def write(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.fixture
def open_terminal() -> Iterator[Callable[..., Terminal]]:
    terminals: list[Terminal] = []

    def open_one(columns: int, lines: int, **settings: str) -> Terminal:
        terminals.append(Terminal(columns, lines, **settings))
        return terminals[-1]

    yield open_one
    for terminal in terminals:
        terminal.close()


@pytest.mark.program
def test_in_a_terminal_it_moves_follows_the_size_and_gives_everything_back(
    open_terminal: Callable[..., Terminal],
) -> None:
    terminal = open_terminal(80, 24)
    begun = terminal.read_until("q quit")
    waiting, take, _ = begun.partition(TAKE)
    assert take
    assert not waiting or waiting.endswith("\r\x1b[2K")  # what was loaded meanwhile is erased
    assert "\x1b[38;5;16;48;5;221m[7]" in begun
    assert not termios.tcgetattr(terminal.ours)[3] & termios.ICANON
    terminal.write("4\x1b[D")
    terminal.read_until("y[0,0,1,1] = \x1b[38;5;16;48;5;114m<94>")
    assert "\x1b[38;5;16;48;5;221m[4]" in terminal.read_until("q quit")
    terminal.resize(120, 40)
    drawn = terminal.read_until("q quit")
    assert drawn.count("\r\n") == 39
    assert "━" * 60 in drawn
    terminal.write("q")
    terminal.read_until(GIVE_BACK)
    assert terminal.process.wait(60) == 0
    assert termios.tcgetattr(terminal.ours) == terminal.settings


@pytest.mark.program
@pytest.mark.parametrize("how", ["ctrl+c", "a signal"])
def test_an_interrupt_leaves_the_terminal_clean_and_exits_130(how: str, open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(60, 24, NO_COLOR="1")
    drawn = terminal.read_until("q quit")
    assert not re.search(r"\x1b\[[0-9;]*m", drawn)
    if how == "ctrl+c":
        terminal.write("\x03")
    else:
        terminal.process.send_signal(signal.SIGINT)
    terminal.read_until(GIVE_BACK)
    assert terminal.process.wait(60) == 130
    assert termios.tcgetattr(terminal.ours) == terminal.settings


@pytest.mark.parametrize(("lines", "whole"), [(24, False), (29, False), (30, True), (40, True)])
def test_a_tall_screen_keeps_x_patches_w_flat_and_y_in_sight(lines: int, whole: bool) -> None:
    for step in STEPS:
        text = shown(replace(session_of(NOTE, (80, lines)), step=step))
        assert len(text.splitlines()) <= lines
        seen = ("[11][12]" in text, "(c,kh,kw)" in text, "w_flat[o=0] = (1)(2)(3)(4)" in text, "84   94 <104>" in text)
        if whole:
            assert all(seen), step
            assert f"{STEPS.index(step) + 1}/8 " in text
        else:
            assert not all(seen), step


def test_the_numbers_above_follow_the_cell() -> None:
    session = type_keys(session_of(NOTE, (80, 30)), "7", "left", "down")
    text = shown(session)
    assert "y[0,0,2,1] = <134>" in text
    assert "[7]" in next(line for line in text.splitlines() if "(c,kh,kw)" in line)
    assert "<134>" in next(line for line in text.splitlines() if line.lstrip().startswith("o=0"))
