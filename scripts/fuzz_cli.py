"""Does any command line end in a traceback, another exit code than 0 to 3, or a file that is lost?

Random options of every command with random values, sensible and hostile, in a folder of their own:
python scripts/fuzz_cli.py --lines 10000 --processes 300. Exit 1 where a line broke a rule; each is printed.
"""

import argparse
import hashlib
import io
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from cli_reference import commands

LONGEST_CPU_S, LONGEST_S = 60, 600  # on a busy machine the clock says little; it ends what waits for ever
ALLOWED = {0, 1, 2, 3}
# What values are drawn from, whatever the option takes.
HOSTILE = (
    *"- -- . .. / 0 -1 1 2 3x 1x2 1x2x3x4 1,2 , inf nan 1e300 99999999999 é %s {0} ' \" $HOME ~ * ( [a- (a+)+$".split(),
    *("", " ", "a" * 300, "a\nb", "\u202e", "\x1b[31m"),
)
SENSIBLE = (
    *"note n1c1h4w4k1r2s2 n2c4h7w9k6r3s2_st2x1_pd1x0x0x1_g2 quick:note quick awkward torch cpu cuda".split(),
    *"fp32 float16 nchw nhwc ieee fprop dgrad bias same 5% 0.05 ratio flip all winograd unfold shapes edges".split(),
    *"there.csv there.html there.png new.csv new.html new.png rows.csv 1x1x4x4 1x1x2x2 n=1,2 dtype=fp32 1:3".split(),
    *("g32mb1ic128ih56oc128oh56kh3ph1", "resnet18", "Given groups=1"),
)
# A problem that takes seconds says nothing of the command line; what watches or measures the machine takes them too.
SLOW = ("ceilings", "doctor", "ran", "model", "selftest")
NOT_HERE = ("-i", "--interactive", "--install-completion", "--open")  # a terminal, a shell, a browser
KEPT = ("there.csv", "there.html", "there.png", "rows.csv")


class TooLongError(BaseException):
    """A line takes too long; no handler of the command line takes it for an error of its own."""


def parameters() -> dict[str, list[Any]]:
    return {name: command.get_params(context) for name, command, context in commands()}


def draw(dice: random.Random, known: dict[str, list[Any]]) -> list[str]:
    """One command line."""
    name = dice.choice([one for one in known if one not in SLOW or dice.random() < 0.05])
    words = name.split()
    if dice.random() < 0.03:
        words = [dice.choice(HOSTILE)]
    for one in dice.sample(known[name], k=min(len(known[name]), dice.choice((0, 1, 1, 2, 2, 3, 4)))):
        value = dice.choice(HOSTILE if dice.random() < 0.4 else SENSIBLE)
        if one.param_type_name == "argument":
            words.append(value)
        elif one.is_flag:
            words.append(dice.choice([*one.opts, *one.secondary_opts]))
        elif dice.random() < 0.5:
            words += [one.opts[-1], value]
        else:
            words.append(f"{one.opts[-1]}={value}")
    if name in ("bench", "verify"):
        words.append("--dry-run")
    if "--rerun" in words:
        words += ["--budget", "0"]
    if name == "selftest":  # of whole suites it takes minutes
        words += ["--shape", "n1c1h4w4k1r2s2", "--backend", "kahan"]
    if name == "tune":  # the same, and it has no --dry-run
        words += ["--match", "^note$", "--backend", "torch,direct", "--budget", "0.01"]
    return [word for word in words if "\0" not in word and word not in NOT_HERE]


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in KEPT}


def in_process(words: list[str]) -> tuple[int, str]:
    """Exit code and what was printed."""
    from convbench.cli import main

    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["convbench", *words]
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException as error:  # whatever it is, it is what is looked for
            return -1, f"{type(error).__name__}: {error}"
    return code, err.getvalue()


def as_process(words: list[str]) -> tuple[int, str]:
    command = [sys.executable, "-m", "convbench", *words]
    try:
        done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        return -1, f"more than {LONGEST_S} s"
    return done.returncode, done.stderr.decode(errors="replace")


def fault(code: int, said: str, before: dict[str, str], folder: Path, words: list[str]) -> str:
    """What is wrong with how a line ended; "" where nothing is."""
    if code not in ALLOWED:
        return f"exit code {code}: {said.strip()[-300:]}"
    if "Traceback (most recent call last)" in said:
        return f"a traceback: {said.strip()[-300:]}"
    if code == 2 and said.count("\n") != 1:
        return f"{said.count(chr(10))} lines: {said.strip()[:300]}"
    if set("\x1b\x07\u202e") & set(said):
        return f"it steers the terminal: {said!r}"
    if "--overwrite" not in words and digests(folder) != before:
        return "a file that was there has changed"
    return ""


def prepare(folder: Path) -> None:
    results = Path(__file__).parents[1] / "tests" / "results" / "quick-cpu-zen4.csv"
    (folder / "rows.csv").write_bytes(results.read_bytes())
    for name in KEPT[:3]:
        (folder / name).write_bytes(b"mine")


def faults(lines: int, processes: int, seed: int) -> Iterator[tuple[str, list[str]]]:
    """What was found, and the words of the line."""
    dice, known = random.Random(seed), parameters()
    codes: Counter[int] = Counter()

    def too_long(*_: object) -> None:
        raise TooLongError(f"more than {LONGEST_CPU_S} s of the CPU, or {LONGEST_S} s")

    import_module("torch")  # cut off in the middle, it could not be imported again
    signal.signal(signal.SIGALRM, too_long)
    signal.signal(signal.SIGPROF, too_long)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        prepare(folder)
        before = digests(folder)
        for number in range(lines + processes):
            words = draw(dice, known)
            if number < lines:
                signal.alarm(LONGEST_S)
                signal.setitimer(signal.ITIMER_PROF, LONGEST_CPU_S)
                code, said = in_process(words)
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.alarm(0)
            else:
                code, said = as_process(words)
            codes[code] += 1
            if found := fault(code, said, before, folder, words):
                yield found, words
            if digests(folder) != before:
                prepare(folder)
            for path in folder.iterdir():
                if path.name.startswith("new."):
                    path.unlink()
        os.chdir("/")
    sys.stderr.write(f"exit codes: {dict(sorted(codes.items()))}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    start, count = time.monotonic(), 0
    for found, words in faults(given.lines, given.processes, given.seed):
        count += 1
        sys.stdout.write(f"{shlex.join(['convbench', *words])}\n    {found}\n")
        sys.stdout.flush()
    sys.stdout.write(
        f"{given.lines:,} lines in process and {given.processes} as processes, seed {given.seed}: {count} faults, "
        f"{time.monotonic() - start:.0f} s\n"
    )
    return count > 0


if __name__ == "__main__":
    sys.exit(main())
