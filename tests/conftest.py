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
    """Tests marked gpu are left out, not skipped, where there is no GPU: a skip is no pass.

    So are tests marked browser, unless -m asks for them: nox -s browser does.
    """
    absent = [] if torch.cuda.is_available() else ["gpu"]
    absent += [] if "browser" in str(config.getoption("markexpr")) else ["browser"]
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in absent)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def make_case(shape: str, **axes: object) -> Case:
    spec = ConvSpec.parse(shape)
    return Case(problem=Problem(suite="test", name=shape, spec=spec), **axes)  # type: ignore[arg-type]
