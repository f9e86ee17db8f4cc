"""Does --help fit a terminal, in groups, and do the reference and the man page say the same?"""

import os
import re
from types import ModuleType

import pytest

from convbench.cli.help import GROUPS, MORE, ORDER
from tests.cli.conftest import Cli
from tests.conftest import load_script


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return load_script("cli_reference")


def test_the_pages_are_what_the_code_makes(reference: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["cli_reference.py"])
    if os.environ.get("CONVBENCH_REFRESH_GOLDEN") == "1":
        reference.main()
    assert reference.PAGE.read_text(encoding="utf-8") == reference.markdown()
    assert reference.MAN.read_text(encoding="utf-8") == reference.man()


def test_every_option_is_in_one_group_and_in_the_reference_and_twelve_at_most_above_the_fold(
    reference: ModuleType,
) -> None:
    sections = dict(part.split("\n", 1) for part in reference.PAGE.read_text(encoding="utf-8").split("\n## convbench "))
    for name, command, context in reference.commands():
        records = reference.records(command, context)
        options = [one for one in command.get_params(context) if one.param_type_name == "option"]
        listed = [names for heading, own in records.items() if heading != "Arguments" for names, _ in own]
        assert len(listed) == len(set(listed)) == len(options), name
        assert re.findall(r"^- `(-.*)`: ", sections[name], re.MULTILINE) == listed, f"docs/cli.md: {name}"
        above = sum(len(own) for heading, own in records.items() if heading not in ("Arguments", MORE))
        assert above <= 12, name
        for heading, words in GROUPS.get(name, {}).items():
            assert heading in ORDER
            assert len(records[heading]) == len(words), f"{name}: {heading} names an option that is not there"


def test_no_summary_is_cut_at_80_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in (["--help"], ["list", "--help"]):
        done = cli(*words)
        assert done.code == 0
        assert "..." not in done.out.partition("Commands:")[2]
        assert max(map(len, done.out.splitlines())) <= 80


def test_commands_come_in_the_order_of_their_use(cli: Cli) -> None:
    listed = [line.split()[0] for line in cli("--help").out.partition("Commands:")[2].splitlines() if line.strip()]
    order = "explain run verify bench compare report history merge submit tune "
    order += "model optimize why ran cost error list doctor ceilings selftest"
    assert listed == order.split()


def test_a_usage_line_names_what_is_needed_and_puts_what_is_not_in_brackets(cli: Cli) -> None:
    for words, usage in (
        (["explain"], "[OPTIONS] [SHAPE]"),
        (["why"], "[OPTIONS] QUESTION,... [SHAPE]"),
        (["compare"], "[OPTIONS] [BEFORE] [AFTER]"),
        (["report"], "[OPTIONS] FILE..."),
        (["list", "suites"], "[OPTIONS] [SUITE]"),
    ):
        assert cli(*words, "--help").out.splitlines()[0] == f"Usage: convbench {' '.join(words)} {usage}"
