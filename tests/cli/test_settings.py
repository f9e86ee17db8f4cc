"""A settings file: defaults that the command line wins over, and nothing that runs code or writes files."""

import csv
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from convbench.cli import make_app
from convbench.cli.settings import ASKED_FOR, COMMON, find_settings
from convbench.errors import ConvbenchError
from tests.cli.conftest import Cli, table
from tests.conftest import load_script

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
SHAPE = "n1c2h5w5k2r3s3_pd1"
VERIFY = f'[verify]\nshape = "{SHAPE}"\nbackend = ["torch", "unfold-matmul"]\nlayout = "nchw"\npass = "fprop"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_sets_defaults_and_the_command_line_wins(cli: Cli, folder: Path) -> None:
    (folder / "convbench.toml").write_text(f'dtype = ["fp32"]\n\n{VERIFY}epilogue = "none"\n')
    done = cli("verify")
    assert done.code == 0, done.err
    rows = [(row["spec"], row["backend"], row["dtype"], row["layout"]) for row in table(done.out)]
    assert rows == [(SHAPE, backend, "fp32", "nchw") for backend in ("torch", "unfold-matmul")]
    done = cli("verify", "--layout", "nhwc", "--backend=torch", "--csv", "rows.csv")
    assert done.code == 0, done.err
    assert [(row["backend"], row["layout"]) for row in table(done.out)] == [("torch", "nhwc")]
    (row,) = csv.DictReader((folder / "rows.csv").read_text().splitlines())
    assert row["command"] == (
        f"convbench verify --dtype=fp32 --shape={SHAPE} --pass=fprop --epilogue=none --layout nhwc --backend=torch "
        f"--csv rows.csv"
    )


def test_another_problem_on_the_command_line_puts_the_one_of_the_file_aside(cli: Cli, folder: Path) -> None:
    (folder / "convbench.toml").write_text(VERIFY.replace("shape", "suite").replace(SHAPE, "resnet50"))
    done = cli("verify", "--shape", SHAPE, "--dtype", "fp32", "--epilogue", "none")
    assert done.code == 0, done.err
    assert {row["spec"] for row in table(done.out)} == {SHAPE}


def test_a_switch_is_switched_off_and_on_again(cli: Cli, folder: Path) -> None:
    (folder / "convbench.toml").write_text("isolate = false\ntimeout = 5\n[bench]\nno-ceilings = true\nforce = false\n")
    words = words_of("bench")
    assert words == ("--no-isolate", "--timeout=5", "--no-ceilings")
    assert words_of("bench", "--isolate") == ("--timeout=5", "--no-ceilings")
    assert words_of("bench", "--no-isolate") == ("--no-ceilings",)
    assert words_of("bench", "--timeout", "1") == ("--no-ceilings",)
    (folder / "convbench.toml").write_text("[report]\npercentiles = true\n")
    rows = PAGE.parents[1] / "results" / "quick-cpu-zen4.csv"
    assert "p99_s" in table(cli("report", rows).out)[0]
    assert "p99_s" not in table(cli("report", rows, "--no-percentiles").out)[0]


def words_of(name: str, *given: str) -> tuple[str, ...]:
    import typer

    settings = find_settings()
    assert settings is not None
    app: object = typer.main.get_command(make_app(name))
    return settings.defaults(name, app.commands[name], given).words  # type: ignore[attr-defined]  # typer's own class


def test_the_nearest_file_counts_and_a_project_file_of_something_else_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    (folder / "pyproject.toml").write_text("[tool.convbench]\nseed = 1\n")
    (folder / "a" / "pyproject.toml").write_text('[project]\nname = "convbench-tools"\n[tool.other]\nconvbench = 1\n')
    found = find_settings()
    assert found is not None
    assert found.values == {"seed": 1}
    assert Path(found.name) == Path("../../pyproject.toml")
    (folder / "a" / "convbench.toml").write_text("seed = 2\n")
    found = find_settings()
    assert found is not None
    assert found.values == {"seed": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sede = 1", "sede: unknown key 'sede': choose from"),
        ("budget = 1", "budget: unknown key 'budget'"),
        ("[bench]\nbugdet = 1", "bench: unknown option 'bugdet'"),
        ("bench = 1", "bench: it is the table of the command bench; write [bench]"),
        ("[bench]\nbudget = true", "bench.budget: True is neither text nor a number"),
        ("[bench]\nbudget = [1, 2]", "bench.budget: --budget takes one value, not a list"),
        ("[bench]\nsuite = [2026-11-30]", "bench.suite: datetime.date(2026, 11, 30) is neither text nor a number"),
        ("[bench]\nforce = 1", "bench.force: --force is switched on or off; write true or false"),
        ("[bench]\nplugin = 'evil.py'", "bench.plugin: only the command line may name what is run or written"),
        ("[bench]\ncsv = '/etc/passwd'", "bench.csv: only the command line may name what is run or written"),
        ("[bench]\noverwrite = true", "bench.overwrite: only the command line may name what is run or written"),
        ("[bench", "cannot read the settings in"),
        ("[bench]\nbudget = 'soon'", "Invalid value for --budget soon: give a number"),
        ("[bench]\ndtype = 'fp99'", "unknown dtype 'fp99'"),
        ("dtype = ['fp99']", "unknown dtype 'fp99'"),
        ("[bench]\nmargin = 5", "--margin 5: give a fraction such as 0.05, or a percentage such as 5%"),
    ],
)
def test_an_unknown_key_or_a_bad_value_is_one_line_with_the_file_and_the_key(
    cli: Cli, folder: Path, text: str, words: str
) -> None:
    (folder / "convbench.toml").write_text(text)
    done = cli("bench", "--dry-run")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert words in done.err
    assert "convbench.toml" in done.err
    key = text.replace("[", "").replace("]", "").split(" =")[0].splitlines()[-1]
    assert key.strip() in done.err


def test_an_error_that_is_not_of_the_file_does_not_blame_it(cli: Cli, folder: Path) -> None:
    (folder / "convbench.toml").write_text("[bench]\nbudget = 1\ndtype = 'fp32'\n")
    done = cli("bench", "--layout", "nope")
    assert done.code == 2
    assert "convbench.toml" not in done.err


def test_help_and_the_version_do_not_read_the_file(cli: Cli, folder: Path) -> None:
    (folder / "convbench.toml").write_text("not TOML")
    for words in (["--help"], ["bench", "--help"], ["--version"]):
        assert cli(*words).code == 0
    code = (
        "import sys\nfrom convbench.cli import main\n"
        "try:\n    main(['list', 'suites', 'quick'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('tomllib' in sys.modules)"
    )
    (folder / "convbench.toml").unlink()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stdout.endswith("False\n")


def test_doctor_says_that_it_checks_only_to_a_terminal(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.bench.doctor.examine", lambda *_, **__: iter(()))
    assert cli("doctor").err == ""
    monkeypatch.setattr("convbench.cli.doctor.is_shown", lambda: True)
    assert cli("doctor").err == "convbench: checking load, clocks and CPUs for a few seconds\n"


def test_doctor_shows_the_file_and_checks_it_for_every_command(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convbench.bench.doctor.examine", lambda *_, **__: iter(()))
    (row,) = table(cli("doctor").out)
    assert row["what"] == "settings"
    assert "no convbench.toml, and no [tool.convbench] in a pyproject.toml" in row["found"]
    (folder / "pyproject.toml").write_text("[tool.convbench]\nseed = 3\n[tool.convbench.compare]\nrelative = true\n")
    (row,) = table(cli("doctor").out)
    assert row["found"].startswith("pyproject.toml: ")
    assert "bench --seed=3; " in row["found"]
    assert "compare --relative" in row["found"]
    for command, text, said in (
        ("bench", "budget = 'soon'", "Invalid value for --budget soon: give a number."),
        ("error", "json = 1", "tool.convbench.error.json: --json is switched on or off; write true or false"),
        ("history", "confidence = 'x'", "Invalid value for --confidence x: give a number."),
    ):
        (folder / "pyproject.toml").write_text(f"[tool.convbench.{command}]\n{text}\n")
        done = cli("doctor")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert said in done.err
        assert f"tool.convbench.{command}." in done.err
    (folder / "pyproject.toml").write_text("[tool.convbench.compare]\nrelativ = true\n")
    done = cli("doctor")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "pyproject.toml: tool.convbench.compare: unknown option 'relativ'" in done.err
    assert "did you mean 'relative'?" in done.err


def test_every_common_key_is_an_option_of_several_commands_and_the_page_lists_them_all() -> None:
    every = [
        {one.opts[0].removeprefix("--") for one in command.get_params(context) if one.param_type_name == "option"}
        for _, command, context in load_script("cli_reference").commands()
    ]
    assert [name for name in COMMON if sum(name in options for options in every) < 2] == []
    assert not ASKED_FOR & {*COMMON}
    text = PAGE.read_text(encoding="utf-8")
    told = text.partition("Only\n  options of several commands")[2].partition("They do not")[0]
    assert [name for name in COMMON if f"`{name}`" not in told] == []
    assert [name for name in ASKED_FOR if f"`--{name}`" not in text] == []


def test_the_example_of_the_page_is_taken(folder: Path) -> None:
    text = PAGE.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    tomllib.loads(text)
    (folder / "pyproject.toml").write_text(text)
    assert words_of("compare") == ("--fail-if-slower=5%", "--relative")
    assert "--min-rounds=100" in words_of("bench")


def test_a_file_that_cannot_be_read_is_one_line(folder: Path) -> None:
    (folder / "convbench.toml").write_bytes(b"\xff")
    with pytest.raises(ConvbenchError, match="cannot read the settings in"):
        find_settings()
