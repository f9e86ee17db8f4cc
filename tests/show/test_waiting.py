"""The line that a terminal shows while there is nothing to show: before PyTorch is imported, and never after output."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.program  # each starts the program in a terminal of its own

MAIN = "import sys\nfrom convbench.__main__ import main\nsys.argv[0] = 'convbench'\nmain()"
# In the place of PyTorch: it tells when it runs, past sys.stderr, as a library of C does, and takes its time.
STUB = "import os, time\nos.write(2, b'\\r\\x1b[2KTORCH RUNS\\n')\ntime.sleep({seconds})\nraise ImportError('a stub')\n"
LINE = "loading PyTorch … "


def on_a_terminal(
    code: str,
    *words: str,
    stub: Path | None = None,
    piped: Path | None = None,
    interrupt_at: str = "",
    **environment: str,
) -> str:
    """What Python writes to a terminal of 80 columns; without what goes to stdout, where that is `piped` to a file."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    env |= {"TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment}
    if stub is not None:
        env["PYTHONPATH"] = str(stub)
    out = theirs if piped is None else os.open(piped, os.O_WRONLY | os.O_CREAT)
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdin=theirs, stdout=out, stderr=theirs, env=env
    ) as one:
        os.close(theirs)
        if piped is not None:
            os.close(out)
        written = b""
        while True:
            try:
                more = os.read(ours, 4096)
            except OSError:  # nobody has the terminal open any more
                break
            if not more:
                break
            written += more
            if interrupt_at and re.search(interrupt_at, written.decode(errors="ignore"), re.DOTALL):
                one.send_signal(signal.SIGINT)
                interrupt_at = ""
    os.close(ours)
    return written.decode()


def screen(written: str) -> list[str]:
    """The lines that are left to see."""
    lines, column = [""], 0
    for part in re.findall(r"\x1b\[\d*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", written):
        if part == "\r":
            column = 0
        elif part == "\n":
            lines.append("")
            column = 0
        elif part == "\x1b[2K":
            lines[-1] = ""
        elif not part.startswith("\x1b"):
            lines[-1] = lines[-1][:column].ljust(column) + part + lines[-1][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines if line.strip()]


def stub_of_torch(folder: Path, seconds: float = 0.0) -> Path:
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text(STUB.format(seconds=seconds))
    return folder


@pytest.mark.parametrize("words", [["list", "devices"], ["explain"], ["bench"], ["verify"], ["doctor"], ["ceilings"]])
def test_a_terminal_reads_that_pytorch_is_loaded_before_it_is_imported(tmp_path: Path, words: Sequence[str]) -> None:
    written = on_a_terminal(MAIN, *words, stub=stub_of_torch(tmp_path))
    assert written.index(LINE) < written.index("TORCH RUNS")
    assert LINE not in "\n".join(screen(written))  # what it raises is printed in its place


def test_the_seconds_are_counted_while_it_is_loaded(tmp_path: Path) -> None:
    written = on_a_terminal(MAIN, "list", "devices", stub=stub_of_torch(tmp_path, 1.0))
    seconds = [float(text) for text in re.findall(LINE + r"(\d+\.\d) s", written)]
    assert len(seconds) > 3
    assert seconds == sorted(seconds)
    assert seconds[-1] - seconds[0] > 0.5


@pytest.mark.parametrize("words", [["--help"], ["bench", "--help"], ["list", "suites"], ["--version"], ["nonsense"]])
def test_a_command_that_imports_no_torch_and_is_quick_shows_no_such_line(tmp_path: Path, words: Sequence[str]) -> None:
    written = on_a_terminal(MAIN, *words, stub=stub_of_torch(tmp_path))
    assert LINE not in written
    assert "TORCH RUNS" not in written


def test_asking_whether_torch_is_there_is_not_loading_it(tmp_path: Path) -> None:
    code = (
        "import importlib.util\nfrom convbench.show.waiting import Waiting\n"
        "with Waiting('x'): print(importlib.util.find_spec('torch') is not None)"
    )
    assert on_a_terminal(code, stub=stub_of_torch(tmp_path)) == "True\r\n"


SLOW = """
import os, sys, time
from convbench.show.waiting import Waiting
with Waiting("comparing"):
    time.sleep(1.0)
    {end}
    time.sleep(0.5)
"""


@pytest.mark.parametrize(
    ("end", "left"),
    [
        ("print('out')", ["out"]),
        ("sys.stderr.write('err\\n')", ["err"]),
        ("sys.stdout.write('out')", ["out"]),
        ("sys.stdout.flush(); os.write(1, b'row\\n')", ["row"]),
        ("", []),
        ("raise SystemExit('the end')", ["the end"]),
        ("import warnings; warnings.warn('beware')", ["<string>:6: UserWarning: beware"]),
        ("os.write(2, b'from C\\n')", ["comparing … 1.0 s  from C"]),  # it cannot be seen coming, and can be read
    ],
)
def test_what_is_slow_without_torch_shows_a_line_too_and_any_output_takes_its_place(end: str, left: list[str]) -> None:
    written = on_a_terminal(SLOW.format(end=end))
    assert "comparing … " in written
    assert re.sub(r"\d\.\d s", "1.0 s", "\n".join(screen(written))).splitlines() == left


def test_in_a_pipe_there_is_no_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAIN, "list", "devices"]
    env = {**os.environ, "PYTHONPATH": str(stub_of_torch(tmp_path, 0.7))}
    done = subprocess.run(command, check=False, env=env, capture_output=True, text=True)
    assert "TORCH RUNS" in done.stderr
    assert "loading" not in done.stderr + done.stdout
    assert "\x1b" not in done.stdout + done.stderr.replace("\x1b[2KTORCH RUNS", "")


def test_a_terminal_that_cannot_erase_gets_no_line(tmp_path: Path) -> None:
    written = on_a_terminal(MAIN, "list", "devices", stub=stub_of_torch(tmp_path), TERM="dumb")
    assert LINE not in written


def test_no_color_is_respected(tmp_path: Path) -> None:
    stub = stub_of_torch(tmp_path)
    assert "\x1b[2m" + LINE in on_a_terminal(MAIN, "list", "devices", stub=stub)
    assert "\x1b[2K" + LINE in on_a_terminal(MAIN, "list", "devices", stub=stub, NO_COLOR="1")


def test_an_interruption_erases_it(tmp_path: Path) -> None:
    stub = stub_of_torch(tmp_path, 60.0)
    written = on_a_terminal(MAIN, "list", "devices", stub=stub, interrupt_at=f"TORCH RUNS.*{LINE}")
    assert LINE in written
    assert screen(written) == ["TORCH RUNS", "convbench: interrupted"]


TIMED = """
import threading
import convbench.bench.sweep, convbench.run
def timed(*_, **__):
    open({note!r}, "w").write(" ".join(one.name for one in threading.enumerate()))
    raise SystemExit(0)
convbench.bench.sweep.bench = convbench.run.run = timed
"""


@pytest.mark.parametrize(
    "words", ["run", "bench --shape n1c1h4w4k1r2s2 --backend torch --no-ceilings --no-isolate --csv -"]
)
def test_no_thread_writes_a_line_while_something_is_timed(tmp_path: Path, words: str) -> None:
    note = tmp_path / "threads"
    slow = "import time\ntime.sleep(0.7)\n"  # the line is there
    on_a_terminal(TIMED.format(note=str(note)) + slow + MAIN, *words.split(), piped=tmp_path / "out")
    assert note.read_text() == "MainThread"


def test_the_result_is_the_same_with_a_terminal_for_stderr_and_without(tmp_path: Path) -> None:
    words = ("explain", "--step", "4-7")  # without what a clock says
    written = on_a_terminal(MAIN, *words, piped=tmp_path / "out")
    assert LINE in written
    assert screen(written) == []
    done = subprocess.run([sys.executable, "-c", MAIN, *words], check=True, capture_output=True)
    assert (tmp_path / "out").read_bytes() == done.stdout


def test_a_command_of_several_stages_says_each_and_goes_on_after_output() -> None:
    code = """
import sys, time
from convbench.show.waiting import Waiting
with Waiting("first") as waiting:
    print("output", flush=True)
    waiting.say("second")
    time.sleep(0.8)
    waiting.say("third")
    waiting.hold()
print("end", flush=True)
"""
    text = on_a_terminal(code)
    assert re.search(r"output.*second … 0\.\d s.*third ….*end", text, re.DOTALL)
    assert "first" not in text
