"""Devices on the command line."""

from convbench.device.cpu import Cpu
from convbench.device.cuda import Cuda
from tests.cli.conftest import Cli
from tests.device.gpus import Gpus, gpus

__all__ = ["gpus"]  # a fixture


def test_a_number_that_no_device_has_is_refused_on_the_command_line(gpus: Gpus, cli: Cli) -> None:
    done = cli("bench", "--device", "cuda:2", "--shape", "n1c1h4w4k1r2s2")
    assert done.code == 2
    assert "--device cuda:2: torch" in done.err
    assert "sees 2 CUDA devices, counted from 0; try --device cpu" in done.err


def test_all_devices_of_a_kind_are_listed(gpus: Gpus, cli: Cli) -> None:
    assert [device.name for device in Cuda.present()] == ["cuda", "cuda:1"]
    assert [device.name for device in Cpu.present()] == ["cpu"]
    lines = cli("list", "devices").out.splitlines()
    assert [line.split("\t")[:3] for line in lines[2:]] == [["cuda", "GPU 0", "yes"], ["cuda:1", "GPU 1", "yes"]]


def test_the_doctor_takes_a_list_and_looks_at_the_gpu_in_it(cli: Cli) -> None:
    for words in ("cpu", "cpu,cpu", ""):
        assert cli("doctor", "--device", words).code == 0
