"""stdout is kept for the result, whoever prints."""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from convbench.printing import each_prints_to_stderr, prints_to_stderr
from convbench.system import libc


def print_in_all_ways() -> None:
    sys.stdout.write("Python\n")
    os.write(1, b"a write\n")
    subprocess.run([sys.executable, "-c", "print('a child')"], check=True)
    c = libc()
    assert c is not None
    c.printf(b"C\n")


WAYS = ["C", "Python", "a child", "a write"]


def test_what_is_printed_meanwhile_goes_to_stderr_and_what_follows_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("before\n")
    with prints_to_stderr():
        print_in_all_ways()
    sys.stdout.write("after\n")
    out, err = capfd.readouterr()
    assert out == "before\nafter\n"
    assert sorted(err.splitlines()) == WAYS


def test_stdout_is_back_between_the_items_and_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    ended = []

    def items() -> Iterator[int]:
        try:
            for number in range(3):
                sys.stdout.write(f"making {number}\n")
                yield number
            raise ValueError("no more")
        finally:
            ended.append(True)

    def take() -> None:
        for number in each_prints_to_stderr(items()):
            sys.stdout.write(f"got {number}\n")

    with pytest.raises(ValueError, match="no more"):
        take()
    out, err = capfd.readouterr()
    assert out == "got 0\ngot 1\ngot 2\n"
    assert err == "making 0\nmaking 1\nmaking 2\n"
    source = each_prints_to_stderr(items())
    next(source)
    source.close()  # type: ignore[attr-defined]  # it is a generator
    assert ended == [True, True]


@pytest.mark.program
@pytest.mark.parametrize("isolation", ["--isolate", "--no-isolate"])
def test_a_plug_in_that_prints_leaves_the_csv_alone(tmp_path: Path, isolation: str) -> None:
    (tmp_path / "noisy.py").write_text(
        "import os\nimport torch.nn.functional as F\nfrom convbench import backend\n"
        "print('an import')\nos.system('echo a child of it')\n"
        "@backend(family='direct', source='a test')\n"
        "def noisy(x, w, spec):\n"
        "    print('a call')\n    os.write(1, b'a write\\n')\n"
        "    return F.conv2d(x, w, stride=spec.stride, padding=spec.padding, dilation=spec.dilation)\n"
    )
    words = f"verify --plugin noisy.py --backend noisy --shape n1c1h4w4k1r2s2 --dtype fp32 --layout nchw {isolation}"
    done = subprocess.run(
        [sys.executable, "-m", "convbench", *words.split(), "--csv", "-"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert row["outcome"] == "verified"
    assert {"an import", "a child of it", "a call", "a write"} <= {*done.stderr.splitlines()}
