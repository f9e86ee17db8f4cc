"""What every test shares: one thread, unhurried examples, and a cheap way to make cases."""

import os

import pytest
import torch
from hypothesis import settings

from convbench.case import Case, Problem
from convbench.spec import ConvSpec

# These machines are shared: a slow example is no failure.
settings.register_profile("convbench", deadline=None, max_examples=50)
settings.load_profile("convbench")
os.environ.setdefault("CONVBENCH_MACHINE", "test")
torch.set_num_threads(1)  # on a loaded machine a second thread waits for its turn, by milliseconds


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What cannot run, or was not asked for, is left out and not skipped: a skip is no pass."""
    left_out = set() if torch.cuda.is_available() else {"gpu"}
    if "compiles" not in config.option.markexpr:
        left_out.add("compiles")
    out = [item for item in items if any(item.get_closest_marker(name) for name in left_out)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def make_case(shape: str, **axes: object) -> Case:
    spec = ConvSpec.parse(shape)
    return Case(problem=Problem(suite="test", name=shape, spec=spec), **axes)  # type: ignore[arg-type]
