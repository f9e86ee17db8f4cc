"""The walk through one kernel in docs/kernels.md is true: its code runs, and its text is what the code emits."""

import re
from pathlib import Path
from typing import Any

from convbench.jit.compile import text_of
from convbench.jit.target import avx2

PAGE = (Path(__file__).parents[2] / "docs" / "kernels.md").read_text(encoding="utf-8")


def test_the_kernel_of_the_page_is_right_and_has_the_text_that_stands_there() -> None:
    kernel, call, on_blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    exec(kernel + call, names)  # it ends with an assertion
    exec(on_blocks, {"__name__": "page"})  # so does this one
    (text,) = re.findall(r"```llvm\n(.*?)```", PAGE, re.DOTALL)
    assert text_of(names["one_filter"], avx2("x86_64-unknown-linux-gnu", "haswell", "")).strip() == text.strip()
