"""`convbench run` as a person types it."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from convbench.cli import main
from convbench.cli import run as command
from convbench.data.filters import make_filters
from tests.cli.conftest import explain
from tests.data.files import write_cifar10, write_image, write_mnist

SEEDED = "generator=torch.Generator().manual_seed(0)"
Typed = Callable[..., tuple[int, list[str], str]]

PLUGIN = """
from convbench import backend
import torch.nn.functional as F

@backend(family="direct", source="test")
def doubled(x, w, spec):
    return 2 * F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)

@backend(family="direct", source="test")
def broken(x, w, spec):
    raise ValueError("oh")
"""


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Run the command line: its exit code, the lines of stdout, and stderr."""

    def call(*words: str) -> tuple[int, list[str], str]:
        with pytest.raises(SystemExit) as end:
            main(["run", "--threads", "2", *words])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out.splitlines(), err

    return call


def one_line(err: str) -> str:
    assert err.startswith("convbench: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.program
def test_no_torchvision_is_imported_for_a_data_set_that_is_not_its_own(tmp_path: Path) -> None:
    write_image(tmp_path / "classes" / "one" / "a.png", (20, 20))
    flat = write_image(tmp_path / "flat" / "a.png", (20, 20))
    own = ["shapes", f"image:{flat}", f"folder:{flat.parent}", f"folder:{tmp_path / 'classes'}"]
    code = (
        "import sys\nfrom convbench.cli import main\nfor number, data in enumerate(sys.argv[1:]):\n"
        "    try: main(['run', '--data', data, '--save', f'{number}.png'])\n"
        "    except SystemExit as end: assert not end.code, end.code\n"
        "    print('IMPORTED', 'torchvision' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *own]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert re.findall(r"^IMPORTED (\w+)$", done.stdout, re.MULTILINE) == ["False"] * len(own)


def test_a_pipe_gets_whole_rows_and_the_next_steps_apart(typed: Typed) -> None:
    code, out, err = typed()
    assert code == 0
    rows = [line.split("\t") for line in out]
    assert rows[0] == ["stage", "sizes", "time_s", "what", "code"]
    assert all(len(row) == 5 for row in rows)
    assert [row[0] for row in rows[1:]] == [
        "data set", "transform", "split", "filters", "DataLoader",
        "oracle", "convolution", "check", "verdict",
    ]  # fmt: skip
    assert all(float(row[2]) >= 0 for row in rows[1:-1])
    assert rows[-1][1] == "VERIFIED"
    assert "convbench bench --shape n8c1h64w64k8r3s3_pd1" in err
    assert "convbench explain n8c1h64w64k8r3s3_pd1" in err


@pytest.mark.program
def test_a_terminal_of_80_columns_shows_a_table_and_a_command_that_is_not_cut(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    status, out, _ = typed("--data", "fake", "--dtype", "bf16", "--dilation", "2x1")
    assert status == 0
    out = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in out]
    code = ("  transform = ", "  data = ", "  train, ", "  x, labels = ")  # whole, so it can be copied, in this order
    assert [begin for line in out for begin in code if line.startswith(begin)] == list(code)
    table = [line for line in out if not line.startswith(("time it", "see how", "problem", "VERIFIED", *code))]
    assert max(map(len, table)) <= 80
    text = "\n".join(out)
    assert "convbench bench --shape n8c3h32w32k8r3s3_pd2x1_dl2x1 --dtype bf16" in text
    assert "…" not in text


def test_the_example_works_when_pasted(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command.EXAMPLE.splitlines()[-1])
    assert words[:2] == ["convbench", "run"]
    code, out, _ = typed(*words[2:])
    assert code == 0
    assert any(line.startswith("picture\t") for line in out)
    with Image.open("features.png") as picture:
        assert picture.format == "PNG"


def test_help_ends_with_the_example(typed: Typed) -> None:
    code, out, _ = typed("--help")
    assert code == 0
    assert out[-1].strip() == command.EXAMPLE.splitlines()[-1].strip()


@pytest.mark.parametrize("data", ["shapes", "fake", "mnist", "fashion-mnist", "cifar10", "folder", "image"])
def test_every_kind_of_data_runs(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    write_mnist(tmp_path)
    write_mnist(tmp_path, folder="FashionMNIST")
    write_cifar10(tmp_path, monkeypatch)
    image = write_image(tmp_path / "images" / "a.png")
    place = {"folder": f"folder:{image.parent}", "image": f"image:{image}"}
    code, out, _ = typed("--data", place.get(data, data), "--root", str(tmp_path))
    assert code == 0, out
    assert out[-1].startswith("verdict\tVERIFIED")


def test_weights_from_a_file_are_named(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"stem.weight": torch.randn(6, 3, 5, 5), "head.weight": torch.randn(3, 1, 3, 3)}, path)
    code, out, _ = typed("--data", "fake", "--weights", str(path))
    assert (code, out[4].split("\t")[1::2]) == (0, ["6x3x5x5", "stem.weight of model.pt"])
    code, out, _ = typed("--data", "fake", "--weights", str(path), "--weights-name", "head.weight")
    assert (code, out[4].split("\t")[1::2]) == (0, ["3x1x3x3", "head.weight of model.pt, 3 groups"])


@pytest.mark.program
def test_a_wrong_plug_in_exits_with_1_and_its_picture_says_so(typed: Typed, tmp_path: Path) -> None:
    plugin, picture = tmp_path / "mine.py", tmp_path / "a.png"
    plugin.write_text(PLUGIN)
    code, out, _ = typed("--plugin", str(plugin), "--backend", "doubled", "--save", str(picture))
    assert code == 1
    assert out[-1].startswith("verdict\tWRONG\t\tdoubled in fp32: ")
    assert picture.is_file()


@pytest.mark.program
def test_a_plug_in_that_raises_exits_with_1_and_leaves_no_picture(typed: Typed, tmp_path: Path) -> None:
    plugin, picture = tmp_path / "mine.py", tmp_path / "a.png"
    plugin.write_text(PLUGIN)
    code, out, err = typed("--plugin", str(plugin), "--backend", "broken", "--save", str(picture))
    assert (code, out[-1]) == (1, "verdict\tFAILED\t\tbroken: ValueError: oh (mine.py:11)\t")
    assert "there are no feature maps to draw" in err
    assert not picture.exists()


def test_a_refusal_exits_with_3_and_force_runs_it(typed: Typed) -> None:
    code, out, _ = typed("--backend", "naive-loops", "--batch-size", "8")
    assert (code, out[-1].split("\t")[1]) == (3, "SKIPPED")
    code, out, _ = typed("--backend", "naive-loops", "--batch-size", "8", "--force")
    assert (code, out[-1].split("\t")[1]) == (0, "VERIFIED")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--data shape", "did you mean 'shapes'"),
        ("--data mnist --root nowhere", "no mnist at nowhere/MNIST/raw; add --download"),
        ("--data image:nothing.png", "no image file at nothing.png"),
        ("--data folder:nothing", "no directory at nothing"),
        ("--weights nothing.pt", "no weights file at nothing.pt"),
        ("--filters edge", "did you mean 'edges'"),
        ("--backend unfold", "unknown backend 'unfold'"),
        ("--backend torch,unfold-einsum", "run takes one"),
        ("--device tpu", "choose from cpu, cuda"),
        ("--dtype fp8", "choose from"),
        ("--dtype fp32,bf16", "run takes one"),
        ("--stride 0", "stride is 0"),
        ("--stride 1x2x3", "--stride '1x2x3': give one number, or two as HxW"),
        (
            "--padding -1",
            "--padding '-1': it takes 1 or 2 or 4 integers with x between them, same or valid; write --pad",
        ),
        ("--padding 1x2x0", "--padding '1x2x0'"),
        ("--padding same --stride 1x2", "--padding same --stride 1x2: same needs stride 1, as in torch"),
        ("--image-size 0", "an image size of 0x0"),
        ("--image-size big", "--image-size 'big'"),
        ("--image-size 999999", "an image size of"),
        ("--split 0", "--split 0.0"),
        ("--split nan", "--split nan"),
        ("--split half", "--split"),
        ("--batch-size 0", "--batch-size"),
        ("--workers 99999", "--workers 99999"),
        ("--seed 99999999999999999999", "--seed"),
        ("--save nowhere/a.png", "there is no folder nowhere"),
        ("--save a.jpg", "the picture is a PNG file; try --save a.png"),
        ("--image-size 4 --padding 0 --filters blur", "larger than the padded input"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_exit_2(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = typed(*words.split())
    assert (code, out) == (2, [])
    assert told in one_line(err)


def test_broken_images_of_a_folder_are_one_line_from_a_worker_too(typed: Typed, tmp_path: Path) -> None:
    for i in range(8):
        write_image(tmp_path / f"{i}.png")
    for i in range(1, 8):
        (tmp_path / f"{i}.png").write_bytes(b"no image")
    for workers in ("0", "1"):
        code, _, err = typed("--data", f"folder:{tmp_path}", "--workers", workers)
        assert code == 2
        assert "is not a readable image" in one_line(err)
        assert "Traceback" not in err


def test_the_notes_first_step_is_said_in_its_own_words(typed: Typed) -> None:
    code, out, _ = typed("--data", "fake", "--batch-size", "4")
    assert code == 0
    lines = {row[0]: row[4] for row in (line.split("\t") for line in out)}
    assert lines["data set"].startswith("data = torchvision.datasets.FakeData(256, image_size=(3, 32, 32), transform=")
    assert lines["transform"] == "transform = torchvision.transforms.ToTensor()"
    assert lines["split"] == f"train, validation = torch.utils.data.random_split(data, [205, 51], {SEEDED})"
    assert lines["DataLoader"] == (
        f"x, labels = next(iter(torch.utils.data.DataLoader(train, batch_size=4, shuffle=True, {SEEDED})))"
    )


def test_the_walk_over_this_image_and_filter_is_the_next_command(
    typed: Typed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "my photo.png")
    image = str(tmp_path / "my photo.png")
    code, _, err = typed("--data", f"image:{image}", "--padding", "1x0x0x2", "--stride", "2")
    assert code == 0
    command = next(line for line in err.splitlines() if line.startswith("see how: "))
    words = shlex.split(command.removeprefix("see how: convbench explain "))
    assert words == ["--x", image, "--w", "edges", "--stride", "2", "--padding", "1x0x0x2"]
    code, out, _ = explain(capsys, *words, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["x"] == [[pixels.tolist()]]
    w = make_filters("edges", 1).w
    assert found["w"] == w.tolist()
    padded = F.pad(torch.from_numpy(pixels).double()[None, None], (0, 2, 1, 0))
    assert found["y"] == F.conv2d(padded, w.double(), stride=2).tolist()


def test_the_first_image_and_the_filters_can_be_kept(typed: Typed, tmp_path: Path) -> None:
    code, _, err = typed("--data", "shapes", "--image-size", "16", "--operands", str(tmp_path))
    assert code == 0
    x, w = (np.load(tmp_path / name) for name in ("x.npy", "w.npy"))
    assert (x.shape, w.shape) == ((1, 1, 16, 16), (8, 1, 3, 3))
    assert f"convbench explain --x {tmp_path / 'x.npy'} --w {tmp_path / 'w.npy'} --padding 1" in err
    code, _, err = typed("--operands", str(tmp_path))
    assert (code, "x.npy exists" in err) == (2, True)
