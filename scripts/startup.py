"""How much CPU time do the first words of convbench take, next to `--help` of a bare Typer application?

python scripts/startup.py [--runs 10] [BEFORE.csv AFTER.csv]

Prints the median of each command in seconds of CPU, of the system too, and its ratio to the bare application's.
The commands take turns, so a busy moment of the machine hits all of them. Two CSV files of results are compared too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

BARE = '''
import typer

app = typer.Typer()


@app.command()
def a(name: str = "x", count: int = 1, loud: bool = False) -> None:
    """Say it."""


@app.command()
def b(name: str = "x") -> None:
    """Say it again."""


app()
'''
# What the console script does.
CONVBENCH = "import sys; from convbench.__main__ import main; sys.argv[0] = 'convbench'; sys.exit(main())"
HEAVY = "torch numpy pandas pydantic rich".split()


def cpu_s(command: list[str], environment: dict[str, str]) -> float:
    """Seconds of CPU of a process, in user mode and in the system."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def imported(command: list[str], environment: dict[str, str]) -> list[str]:
    """Which heavy packages a command imports."""
    done = subprocess.run(
        [command[0], "-X", "importtime", *command[1:]], env=environment, capture_output=True, text=True, check=False
    )
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    return [name for name in HEAVY if name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="CSV", help="two files of results, to be compared")
    parser.add_argument("--runs", type=int, default=10, help="runs of each command")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        # The modules are compiled once and kept, as they are after an installation.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "compiled")
        ours = [sys.executable, "-P", "-c", CONVBENCH]
        commands = {
            "bare a --help": [sys.executable, str(bare), "a", "--help"],
            "convbench --help": [*ours, "--help"],
            "convbench bench --help": [*ours, "bench", "--help"],
            "convbench list suites": [*ours, "list", "suites"],
        }
        if asked.files:
            commands["convbench compare"] = [*ours, "compare", *asked.files]
        heavy = {name: imported(command, environment) for name, command in commands.items()}
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(asked.runs):
            for name, command in commands.items():
                seconds[name].append(cpu_s(command, environment))
    whole = median(seconds["bare a --help"])
    print(f"{'command':<24}{'CPU s':>8}{'ratio':>7}  imports of {', '.join(HEAVY)}")
    for name, taken in seconds.items():
        print(f"{name:<24}{median(taken):8.3f}{median(taken) / whole:7.2f}  {', '.join(heavy[name]) or 'none'}")


if __name__ == "__main__":
    main()
