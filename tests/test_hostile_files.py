"""Files made to hang, to fill the memory, or to run code: each is one line, at once."""

import os
import pickle
import resource
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convbench import ConvbenchError
from convbench.data.images import open_image
from convbench.data.weights import load_filters
from convbench.files import check, read_bytes
from convbench.store import read_rows
from convbench.suites import SIZES, read_suite
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture

HEADER = ",".join(SIZES)


def pipe(folder: Path, name: str) -> Path:
    os.mkfifo(folder / name)
    return folder / name


def zero(folder: Path, name: str) -> Path:
    (folder / name).symlink_to("/dev/zero")
    return folder / name


def directory(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def listener(folder: Path, name: str) -> Path:
    here = Path.cwd()
    os.chdir(folder)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(name)
    os.chdir(here)
    return folder / name


def sparse(folder: Path, name: str) -> Path:
    """A terabyte that takes no room on the disk."""
    (folder / name).touch()
    os.truncate(folder / name, 2**40)
    return folder / name


def loop(folder: Path, name: str) -> Path:
    (folder / name).symlink_to(name)
    return folder / name


def nul(folder: Path, name: str) -> Path:
    return folder / f"\0{name}"


READERS: dict[str, Callable[[Path], object]] = {
    "suite.csv": lambda path: read_suite(str(path)),
    "suite.txt": lambda path: read_suite(str(path)),
    "rows.csv": read_rows,
    "image.png": open_image,
    "w.safetensors": lambda path: load_filters(path, 3),
    "w.pt": lambda path: load_filters(path, 3),
}


@pytest.mark.skipif(sys.platform != "linux", reason="makes files of Linux")
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("make", [pipe, zero, directory, listener, sparse, loop, nul], ids=lambda one: one.__name__)
def test_what_is_no_plain_file_of_reasonable_size_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path, str], Path], name: str
) -> None:
    path = make(tmp_path, name)
    with pytest.raises(ConvbenchError) as raised:
        READERS[name](path)
    assert "\n" not in str(raised.value)


def test_a_file_is_read_up_to_its_limit_and_not_beyond(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    check(path, 5)
    for look in (read_bytes, check):
        with pytest.raises(OSError, match="at least 5 bytes, and the limit is 4"):
            look(path, 4)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_a_file_that_does_not_say_how_large_it_is_is_read_up_to_its_limit() -> None:
    assert os.stat("/proc/self/status").st_size == 0
    with pytest.raises(OSError, match="the limit is 100"):
        read_bytes("/proc/self/status", 100)


@pytest.mark.parametrize("make", [pipe, zero, sparse], ids=lambda one: one.__name__)
@pytest.mark.parametrize(
    "words", [["verify", "--suite"], ["report"], ["compare", "b.csv"], ["run", "--weights"], ["run", "--data"]]
)
def test_the_command_line_says_so_in_one_line(
    cli: Cli, tmp_path: Path, make: Callable[[Path, str], Path], words: list[str]
) -> None:
    path = make(tmp_path, "a.csv")
    done = cli(*words, f"image:{path}" if "--data" in words else path)
    assert done.code == 2
    assert done.err.startswith("convbench: ")
    assert done.err.count("\n") == 1
    assert len(done.err) < 500


def test_resume_does_not_read_a_file_without_end(cli: Cli, tmp_path: Path) -> None:
    path = sparse(tmp_path, "rows.csv")
    done = cli("verify", "--shape", "n1c1h4w4k1r2s2", "--backend", "torch", "--csv", path, "--resume")
    assert done.code == 2
    assert "--resume" in done.err
    assert "the limit is" in done.err
    assert path.stat().st_size == 2**40


# ----------------------------------------------------------------------------- suites


@pytest.mark.parametrize(
    "cell", ["nan", "inf", "-1", "0x10", "1e3", "1_000", "1.5", "٣", "²", "9" * 5000, "1\x00", "=1"]
)
@pytest.mark.parametrize("column", ["n", "stride_h", "count"])
def test_what_is_no_plain_number_is_refused_with_its_line(tmp_path: Path, cell: str, column: str) -> None:
    path = tmp_path / "own.csv"
    columns = dict.fromkeys([*SIZES, "stride_h", "count"], "1") | {column: cell}
    path.write_text(f"{','.join(columns)}\n{','.join(columns.values())}\n", encoding="utf-8")
    with pytest.raises(ConvbenchError, match="line 2: "):
        read_suite(str(path))


def test_a_cell_of_a_hundred_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    with path.open("w") as file:
        file.write(f"{HEADER}\n")
        for _ in range(100):
            file.write("1" * 2**20)
    with pytest.raises(ConvbenchError, match=r"the limit is 67,108,864"):
        read_suite(str(path))


@pytest.mark.parametrize("place", ["header", "row"])
def test_a_cell_that_is_too_long_for_the_reader_is_one_line(tmp_path: Path, place: str) -> None:
    path = tmp_path / "own.csv"
    long = "x" * 200_000
    path.write_text(f"{HEADER},name\n1,1,4,4,1,2,2,{long}\n" if place == "row" else f"{long}\n1\n")
    with pytest.raises(ConvbenchError, match=f"line {2 if place == 'row' else 1}: field larger than field limit"):
        read_suite(str(path))


@pytest.mark.parametrize(
    "line",
    [
        f'mb1ic1ih4oc1kh2n"a"*{"9" * 5000}',
        f"--mb={'9' * 5000} mb1ic1ih4oc1kh2",
        f"mb{'9' * 5000}ic1ih4oc1kh2",
        f"MIOpenDriver conv -n {'9' * 5000}",
        "mb1ic1ih4oc1kh2" * 10_000,
        "\0",
        "--batch=" + "../" * 2000 + "x",
        "--batch=\0",
    ],
    ids=lambda line: line[:24],
)
def test_a_hostile_line_of_benchdnn_or_miopen_is_one_line_or_a_problem(cli: Cli, tmp_path: Path, line: str) -> None:
    path = tmp_path / "lines"
    path.write_text(line)
    done = cli("list", "suites", path)
    assert done.code in (0, 2)
    assert done.err.count("\n") == done.code // 2
    assert len(done.err) < 2200


def test_files_that_lead_to_each_other_ten_times_each_are_cut_off(tmp_path: Path) -> None:
    for depth in range(8):
        (tmp_path / f"file{depth}").write_text(f"--batch=file{depth + 1}\n" * 10)
    (tmp_path / "file8").write_text("mb1ic1ih4oc1kh2\n")
    with pytest.raises(ConvbenchError, match="includes more than 1,000 files"):
        read_suite(str(tmp_path / "file0"))


@given(st.binary(max_size=300), st.sampled_from([b"", HEADER.encode() + b"\n", b"--batch=", b"MIOpenDriver conv "]))
def test_any_bytes_are_a_suite_or_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("a.csv", "a.txt"):
        (folder / name).write_bytes(start + data)
        try:
            read_suite(str(folder / name))
        except ConvbenchError as error:
            assert str(error)  # noqa: PT017  # most are refused, some are not


def test_names_with_control_characters_reach_the_terminal_as_text(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(f"{HEADER},name\n1,1,4,4,1,2,2,\x1b]0;owned\x07\x1b[2J=1\n")
    words = ("verify", "--suite", path, "--backend", "torch", "--dtype", "fp32", "--layout", "nchw", "--pass", "fprop")
    done = cli(*words, "--csv", tmp_path / "rows.csv")
    assert done.code == 0
    assert "\x1b" not in done.out + done.err
    (row,) = read_rows(tmp_path / "rows.csv")
    assert row["name"] == r"\x1b]0;owned\x07\x1b[2J=1"
    assert cli(*words, "--csv", tmp_path / "rows.csv", "--resume").code == 0
    assert "\x1b" not in cli("verify", "--suite", f"{path}\x1b[2J").err
    assert "\x1b" not in cli("report", tmp_path / "rows.csv").out


# ----------------------------------------------------------------------------- images and weights


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes, pixels: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = pixels or zlib.compress(b"\0" * (width + 1) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_png_whose_text_unpacks_to_a_hundred_megabytes_takes_no_such_memory(tmp_path: Path, kind: bytes) -> None:
    packed = zlib.compress(b"\0" * 100 * 2**20, 9)
    text = {b"iTXt": b"a\0\1\0\0\0" + packed}.get(kind, b"a\0\0" + packed)
    path = tmp_path / "bomb.png"
    path.write_bytes(png(4, 4, chunk(kind, text)))
    assert path.stat().st_size < 2**18
    code = (
        "import resource, sys\nfrom convbench.data.images import open_image\nfrom convbench import ConvbenchError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: open_image(sys.argv[1])\nexcept ConvbenchError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60 * 1024


def test_a_png_with_pixels_for_gigabytes_behind_a_modest_header_gives_what_the_header_says(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(4, 4, pixels=zlib.compress(b"\0" * 50 * 2**20, 9)))
    assert open_image(path).size == (4, 4)


class _Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (os.mkdir, (str(self.path),))


def test_a_bare_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(pickle.dumps({"w": _Runs(tmp_path / "made")}))
    with pytest.raises(ConvbenchError):
        load_filters(path, 3)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("length", [2**40, 2**63, 2**64 - 1, 10**8])
def test_a_safetensors_header_that_claims_more_than_there_is_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}" * 100)
    with pytest.raises(ConvbenchError, match="not a readable safetensors file"):
        load_filters(path, 3)


@pytest.mark.parametrize(
    "tensor",
    [
        '{"w":{"dtype":"F32","shape":[4,3,2,2],"data_offsets":[0,1099511627776]}}',
        '{"w":{"dtype":"F32","shape":[4294967296,4294967296,4294967296,2],"data_offsets":[0,0]}}',
        '{"w":{"dtype":"F32","shape":[-1,3,2,2],"data_offsets":[0,4]}}',
        '{"w":{"dtype":"F32","shape":[1,1,1,1],"data_offsets":[4,0]}}',
    ],
)
def test_a_safetensors_entry_that_lies_about_its_size_is_refused(tmp_path: Path, tensor: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(tensor).to_bytes(8, "little") + tensor.encode() + bytes(64))
    with pytest.raises(ConvbenchError, match="not a readable safetensors file"):
        load_filters(path, 3)


def test_an_old_torch_file_that_claims_a_terabyte_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(torch.ones(4, 3, 2, 2), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert data.count(b"K0") == 1  # 48 elements, a byte
    path.write_bytes(data.replace(b"K0", b"\x8a\x06" + (2**38).to_bytes(6, "little")))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConvbenchError, match=r"not a readable torch file|is damaged"):
        load_filters(path, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
