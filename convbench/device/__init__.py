"""Where are tensors kept and calls run, and with which clock are they timed? One file is one kind of device.

No other module compares device names: every difference is a property or a method of `Device`. To add a kind,
add its file and its line in KINDS.
"""

from collections.abc import Mapping
from functools import cache

from convbench.device.base import Device
from convbench.device.cpu import Cpu
from convbench.device.cuda import Cuda
from convbench.errors import ConvbenchError, unknown

__all__ = ["KINDS", "Device", "find_device"]

KINDS: Mapping[str, type[Device]] = {kind.kind: kind for kind in (Cpu, Cuda)}


@cache
def find_device(name: str) -> Device:
    """The device of a name such as cpu, cuda or cuda:1; it need not exist (`Device.why_absent`).

    Raises:
        ConvbenchError: there is no such kind of device, or it has no numbers.
    """
    kind, colon, number = name.partition(":")
    if kind == "gpu":  # too different for a spelling hint
        raise ConvbenchError(f"unknown device {name!r}: choose from {', '.join(KINDS)}; did you mean 'cuda'?")
    if kind not in KINDS:
        raise unknown("device", name, KINDS)
    if not colon:
        return KINDS[kind]()
    if not KINDS[kind].numbered or not (number.isascii() and number.isdigit()):
        several = [f"{one}, {one}:1" if which.numbered else one for one, which in KINDS.items()]
        raise ConvbenchError(f"{name!r} is not a device: choose one such as {', '.join(several)}")
    return KINDS[kind](int(number))
