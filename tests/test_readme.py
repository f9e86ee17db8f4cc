"""What the README and the docs say is true: their commands run, their example works, their links lead somewhere."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from convbench.cli import bench, catalogue, ceilings, compare, doctor, explain, make_app, report, run, verify
from convbench.schema import COLUMNS
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("results/*.md")])
COMMANDS = re.findall(r"^\$ (convbench .*)$", README, re.MULTILINE)
EXAMPLES = [module.EXAMPLE for module in (explain, run, verify, bench, report, ceilings, compare, doctor)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the files that the README's commands name."""
    block = re.search(r"```python\n# (\w+\.py)\n(.*?)```", README, re.DOTALL)
    assert block is not None
    (tmp_path / block[1]).write_text(block[2])
    assert len([line for line in block[2].splitlines() if line]) <= 10
    Image.effect_noise((300, 200), 50).save(tmp_path / "photo.jpg")
    for name in ("before.csv", "after.csv"):
        shutil.copy(ROOT / "results" / "quick-cpu-zen4.csv", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# The commands are under test, not the backends: a few rows of verify's default suite, and no time for a verdict.
SOME_ROWS = ["--match", ":(note|stride|groups)"]
HASTE = ["--budget", "0.02"]
ONLY_EAGER = ["--only", "eager", "--no-isolate"]


def hurried(words: list[str]) -> list[str]:
    """A command of bench, optimize or verify over less, for less time; any other as it is."""
    if words[0] == "bench":
        return [
            *words,
            *HASTE,
            *(["--match", ":(conv1|layer1.0)"] if "resnet50" in words and "--match" not in words else []),
        ]
    if words[0] == "optimize":
        return [*words, *HASTE, *ONLY_EAGER]
    if words[0] == "verify" and "--shape" not in words:
        return [*words, *SOME_ROWS]
    return words


@pytest.mark.program
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command: str, cli: Cli, folder: Path) -> None:
    words = shlex.split(command.partition(" > ")[0])[1:]
    if "cuda" in words:
        pytest.importorskip("torch")
        import torch

        if not torch.cuda.is_available():
            assert cli(*words).code == 2
            return
    if words[0] == "merge":
        sweep = ["verify", "--shape", "note", "--backend", "torch", "--dtype", "fp32", "--layout", "nchw"]
        assert cli(*sweep, "--shard", "1/1", "--csv", "part-1.csv").code == 0
        words = [part for word in words for part in (["part-1.csv"] if "*" in word else [word])]
    if words[0] == "model":
        words += ["--no-time"]
    done = cli(*hurried(words))
    assert done.code == 0, done.err


@pytest.mark.program
@pytest.mark.parametrize("example", [line for text in EXAMPLES for line in text.splitlines() if "convbench" in line])
def test_the_example_of_a_help_page_runs(example: str, cli: Cli, folder: Path) -> None:
    words = shlex.split(example[example.index("convbench ") :])[1:]
    if words[0] == "report":
        words = ["report", *map(str, sorted((ROOT / "results").glob("*.csv"))[:1])]
    assert cli(*hurried(words)).code == 0


def test_every_command_has_help_and_stands_in_the_readme() -> None:
    app = make_app()
    names = [command.name for command in app.registered_commands] + ["list"]
    assert set(names) >= {"explain", "run", "verify", "bench", "list", "report", "compare"}
    for name in names:
        assert f"convbench {name}" in README, name
    for command in [*app.registered_commands, *catalogue.app.registered_commands]:
        assert command.callback is not None
        assert command.callback.__doc__
        assert "convbench" in (command.epilog or "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_column_is_explained() -> None:
    text = (ROOT / "docs" / "csv.md").read_text(encoding="utf-8")
    explained = {
        word for cell in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE) for word in re.findall(r"\w+", cell)
    }
    assert set(COLUMNS) <= explained


@pytest.mark.program
def test_the_example_with_gradients_is_right(cli: Cli, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n# my_gradients\.py\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my_gradients.py").write_text(block)
    plugin = ("--plugin", tmp_path / "my_gradients.py", "--backend", "my-gradients")
    axes = (
        "--pass",
        "fprop,dgrad,wgrad",
        "--epilogue",
        "bias,bias_relu",
        "--layout",
        "strided",
        "--csv",
        tmp_path / "csv",
    )
    assert cli("verify", *plugin, "--dtype", "fp32,fp64", *axes, *SOME_ROWS).code == 0
    assert cli("verify", *plugin, "--dtype", "bf16", "--shape", "n1c1h4w4k1r2s2").code == 3
    block = block.replace('"fp32", "fp64"', '"fp16"')
    (tmp_path / "my_gradients.py").write_text(block)
    shape = ("--shape", "n2c4h9w8k6r3s3_pd1", "--pass", "dgrad")
    assert cli("verify", *plugin, *shape).code == 1  # as the page says
    declared = 'roundings=lambda case: case.spec.r * case.spec.s + 1 if case.pass_ == "dgrad" else 0'
    assert declared in text
    (tmp_path / "my_gradients.py").write_text(block.replace("fused=fused)", f"fused=fused, {declared})"))
    done = cli("verify", *plugin, *shape)
    assert done.code == 1
    assert "my-gradients declares roundings: ignored" in done.err
