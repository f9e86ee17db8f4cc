"""Does torch do without its compiler where it may, and have it where code asks for it?"""

import subprocess
import sys

import pytest

HEAD = """
import inspect, sys
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from convbench.models.eager import without_compiler

class Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))

def is_real():
    return "torch._dynamo" in sys.modules and hasattr(sys.modules["torch._dynamo"], "__file__")

def hidden():
    return hasattr(Mode.__torch_dispatch__.__wrapped__, "__dynamo_disable")

x = torch.ones(2)
"""


def told(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.program
def test_a_mode_and_the_meta_device_take_no_compiler_and_leave_nothing_behind() -> None:
    code = """
with without_compiler(), without_compiler(), Mode():
    x.to("meta").relu() + x.to("meta")
    inspect.getmodule(Mode)
    within = is_real(), hidden()
print(within, "torch._dynamo" in sys.modules, hidden())
"""
    assert told(code) == "(False, True) False False"


@pytest.mark.program
@pytest.mark.parametrize(
    "wanted",
    [
        "import torch._dynamo.utils",
        "from torch._dynamo import config",
        "torch.compile(torch.add, backend='eager')(x, x)",
    ],
)
def test_code_that_wants_the_compiler_gets_it(wanted: str) -> None:
    code = f"""
with without_compiler(), Mode():
    x + x
    {wanted}
    within = is_real()
with Mode():
    y = torch.compile(lambda x: x + 1, backend="eager", fullgraph=True)
print(within, is_real(), y(x).tolist())
"""
    assert told(code) == "True True [2.0, 2.0]"
