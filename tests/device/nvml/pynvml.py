"""NVML of a GPU that NVML_PIDS compute on, and whoever asks."""

import os
from types import SimpleNamespace

NVMLError = RuntimeError
NVML_CLOCK_SM = NVML_TEMPERATURE_GPU = 0


def nvmlInit() -> None:  # noqa: N802
    pass


def nvmlDeviceGetHandleByPciBusId(address: bytes) -> bytes:  # noqa: N802
    return address


def nvmlDeviceGetComputeRunningProcesses(handle: bytes) -> list[SimpleNamespace]:  # noqa: N802
    return [SimpleNamespace(pid=pid) for pid in (os.getpid(), *map(int, os.environ["NVML_PIDS"].split()))]


def _unknown(*words: object) -> int:
    raise NVMLError("Not Supported")


nvmlDeviceGetClockInfo = nvmlDeviceGetPowerUsage = nvmlDeviceGetTemperature = _unknown  # noqa: N816
nvmlDeviceGetCurrentClocksThrottleReasons = _unknown  # noqa: N816
