"""A small round of tests/chaos.py; `nox -s chaos` runs the large one."""

import random
from pathlib import Path

import pytest

from tests.chaos import EVERY, Chaos


@pytest.mark.program
def test_a_sweep_that_is_killed_goes_on_and_loses_nothing(tmp_path: Path) -> None:
    chaos = Chaos(folder=tmp_path, kills=1, cases=EVERY, rng=random.Random(0))
    chaos.run()
    assert chaos.killed == 1
    assert chaos.looks
