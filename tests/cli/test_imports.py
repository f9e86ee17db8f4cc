"""What lies in the working directory is not imported, unless somebody names it."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from convbench import ConvbenchError, discover
from convbench.discovery import load_plugin

# Standard library, what convbench needs, and what its optional backends would like to find.
BAIT = (
    "typing ast dataclasses pathlib random json csv shlex statistics ctypes tempfile torch numpy pandas rich typer jax "
    "onnxruntime openvino ncnn multiprocessing hypothesis tests"
).split()
TRAP = "from pathlib import Path\nimport sys\nPath(__file__).with_suffix('.sprung').touch()\n"
RIGHT = """
from convbench import backend
from {helper} import right

@backend(family="direct", source="a test")
def {name}(x, w, spec):
    from {helper}_later import right
    return right(x, w, spec)
"""
HELPER = """
import torch.nn.functional as F

def right(x, w, spec):
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
"""


def bait(folder: Path) -> None:
    for name in BAIT:
        (folder / f"{name}.py").write_text(TRAP)
    info = folder / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[convbench.backends]\nevil = hypothesis:evil\n")


def sprung(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.rglob("*.sprung"))


def plug_in(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(RIGHT.format(name=name, helper=f"{name}_helper"))
    for helper in (f"{name}_helper", f"{name}_helper_later"):
        (folder / f"{helper}.py").write_text(HELPER)


def run(folder: Path, *words: str, script: bool = False) -> "subprocess.CompletedProcess[str]":
    program = [str(Path(sys.executable).with_name("convbench"))] if script else [sys.executable, "-m", "convbench"]
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    done = subprocess.run([*program, *words], check=False, cwd=folder, env=env, capture_output=True, text=True)
    assert sprung(folder) == []
    return done


@pytest.mark.program
@pytest.mark.skipif(sys.platform != "linux", reason="worker processes need Linux")
def test_neither_the_program_nor_its_workers_import_what_lies_in_the_working_directory_but_what_is_named(
    tmp_path: Path,
) -> None:
    plug_in(tmp_path, "mine")
    plug_in(tmp_path / "sub", "theirs")
    bait(tmp_path)
    done = run(
        tmp_path,
        *"verify --shape n1c2h5w5k2r3s3 --dtype fp32 --layout nchw --pass fprop".split(),
        *"--plugin mine --plugin sub/theirs.py".split(),
        *"--backend mine,theirs,torch --csv rows.csv".split(),
    )
    assert done.returncode == 0, done.stderr
    assert list(pd.read_csv(tmp_path / "rows.csv").outcome) == ["verified"] * 3


@pytest.mark.parametrize("script", [True, False])
def test_an_entry_point_that_lies_in_the_working_directory_is_not_even_listed(tmp_path: Path, script: bool) -> None:
    bait(tmp_path)
    done = run(tmp_path, "list", "backends", script=script)
    assert done.returncode == 0, done.stderr
    assert "evil" not in done.stdout
    assert "unfold-einsum" in done.stdout


@pytest.mark.parametrize(
    "words", ["-m mypkg", "-m mypkg.tool", "-mmypkg.tool", "-Bm mypkg.tool", "-m convbench_tool.sub"]
)
def test_another_package_that_imports_convbench_and_is_run_by_m_finds_its_own_modules(
    tmp_path: Path, words: str
) -> None:
    for package in ("mypkg", "convbench_tool"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("import convbench\n")
        (tmp_path / package / "other.py").write_text("import beside\n")
        for tool in ("__main__", "tool", "sub"):
            (tmp_path / package / f"{tool}.py").write_text(
                f"import sys\nfrom {package} import other\nprint('found', *sys.argv[1:])\n"
            )
    (tmp_path / "beside.py").touch()
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    command = [sys.executable, *words.split(), "-m", "convbench"]  # the last two are the program's own words
    done = subprocess.run(command, check=False, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "found -m convbench\n"), done.stderr


@pytest.mark.parametrize("words", ["-m convbench", "-mconvbench", "-Bmconvbench", "-m convbench.__main__"])
def test_however_convbench_itself_is_run_by_m_the_working_directory_is_out_of_the_way(
    tmp_path: Path, words: str
) -> None:
    bait(tmp_path)
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    command = [sys.executable, *words.split(), "--version"]
    done = subprocess.run(command, check=False, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sprung(tmp_path) == []


def install(folder: Path, name: str, *functions: str) -> None:
    """A package with backends, as pip leaves it."""
    body = "".join(f"@backend(family='direct', source='a test')\ndef {one}(x, w, spec): ...\n" for one in functions)
    for one in functions:
        (folder / f"{name}_{one}.py").write_text(f"{TRAP}from convbench import backend\n{body}")
    info = folder / f"{name}-2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.3\n")
    points = "".join(f"{one} = {name}_{one}:{one}\n" for one in functions)
    (info / "entry_points.txt").write_text(f"[convbench.backends]\n{points}")


@pytest.mark.program
def test_of_installed_packages_only_the_backend_that_is_named_is_loaded_and_its_origin_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from convbench.cli.options import choose_backends
    from convbench.cli.outputs import tell

    install(tmp_path, "package", "wanted", "unwanted")
    monkeypatch.syspath_prepend(str(tmp_path))
    (one,) = choose_backends(["wanted"], None, tell)
    assert one.name == "wanted"
    assert sprung(tmp_path) == ["package_wanted"]
    assert capfd.readouterr().err == "convbench: the backend wanted is package_wanted:wanted of package 2.3\n"
    assert discover([], ["torch"])[0][0].name == "torch"
    assert sprung(tmp_path) == ["package_wanted"]


def test_what_lies_beside_a_plug_in_takes_nobodys_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    plug_in(tmp_path, "mine")
    bait(tmp_path)
    load_plugin(str(tmp_path / "mine.py"))
    assert sys.path[-1] == str(tmp_path.resolve())
    assert sprung(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise GeneratorExit", "GeneratorExit"),
        ("class Odd(BaseException): ...\nraise Odd('x' * 2**20)", "Odd: xxx"),
        (
            "class Mute(Exception):\n def __str__(self): raise OSError\nraise Mute",
            "its message raised OSError",
        ),
        ("raise ValueError('\\x1b[2J gone')", r"ValueError: \x1b[2J gone"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("import os; os._exit(0)", "SystemExit: os._exit(0)"),
    ],
)
def test_a_plug_in_that_raises_whatever_it_likes_is_one_short_line(tmp_path: Path, code: str, said: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(code)
    with pytest.raises(ConvbenchError) as raised:
        load_plugin(str(path))
    assert said in str(raised.value)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize("name", ["\\x1b[2J", "", "x" * 101, "two\\nlines"])
def test_a_backend_with_a_name_that_cannot_be_printed_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "from convbench import backend\ndef fn(x, w, spec): ...\n"
        f"fn.__name__ = '{name}'\nfn = backend(family='direct', source='a test')(fn)\n"
    )
    with pytest.raises(ConvbenchError, match="printable characters") as raised:
        load_plugin(str(path))
    assert str(raised.value).isprintable()
