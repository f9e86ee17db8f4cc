"""From a kernel's text to the addresses of its functions, by way of the disk if it was compiled before."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import RLock
from typing import Any

import llvmlite.binding as llvm

import convbench.jit as room
from convbench.files import cache_folder
from convbench.jit import cache as disk
from convbench.jit.emit import Module
from convbench.jit.target import Target

# Writes the functions of a kernel into a module; what is specialised for comes as further arguments.
Kernel = Callable[..., None]


@dataclass(frozen=True, slots=True)
class MachineCode:
    """Functions in memory that can be executed.

    Attributes:
        engine: holds that memory.
    """

    engine: Any
    addresses: Mapping[str, int]


# Two threads that compile at once would do it twice.
_ONE_AT_A_TIME = RLock()


def compiled(kernel: Kernel, target: Target, names: tuple[str, ...], *parameters: object) -> MachineCode:
    """The functions `names` of a kernel, compiled once per process and once per machine.

    `kernel(module, *parameters)` writes them. It runs only if the disk does not have the object.
    """
    with _ONE_AT_A_TIME:
        return _compiled(kernel, target, names, *parameters)


@cache
def _compiled(kernel: Kernel, target: Target, names: tuple[str, ...], *parameters: object) -> MachineCode:
    key = "\n".join(
        map(str, (target, version("llvmlite"), _sources(), kernel.__module__, kernel.__qualname__, parameters))
    )
    folder = cache_folder()
    code = disk.load(folder, key)
    if code is None:
        code = target.machine().emit_object(parsed(kernel, target, *parameters))
        disk.keep(folder, key, code)
    return _loaded(code, target, names)


def text_of(kernel: Kernel, target: Target, *parameters: object) -> str:
    """A kernel in LLVM's language."""
    module = Module(target.lanes, "x86" in target.triple)
    kernel(module, *parameters)
    return module.text


def parsed(kernel: Kernel, target: Target, *parameters: object) -> llvm.ModuleRef:
    """The module as LLVM has it.

    No passes of LLVM's middle end run: they move the addresses of a tile's rows out of its loop and then spill them,
    which halves the speed of some kernels, and they take half the time.
    """
    module = llvm.parse_assembly(text_of(kernel, target, *parameters))
    module.verify()
    return module


def assembly(kernel: Kernel, target: Target, *parameters: object) -> str:
    """The same as assembly, to be read."""
    return str(target.machine().emit_assembly(parsed(kernel, target, *parameters)))


# Plans hold addresses, so code is never freed, whoever drops it: some kilobytes for each form of a kernel.
_KEPT: list[Any] = []


def _loaded(code: bytes, target: Target, names: tuple[str, ...]) -> MachineCode:
    machine = target.machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _KEPT.append(engine)
    return MachineCode(engine, {name: engine.get_function_address(name) for name in names})


@cache
def _sources() -> str:
    """A fingerprint of the files that write kernels: a change in any of them makes all objects old."""
    found = hashlib.sha256()
    here = Path(room.__file__).parent
    for folder in (here, here.parent / "kernels"):
        for path in sorted(folder.rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()
