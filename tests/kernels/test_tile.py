"""How filters are shared out among register tiles."""

import pytest

from convbench.kernels.tile import split


@pytest.mark.parametrize("most", [3, 6, 12, 14])
def test_the_blocks_hold_every_filter_and_no_more(most: int) -> None:
    for count in range(1, 600):
        rows, first, rest = split(count, most)
        assert rows <= most
        assert min(first, rest) >= 0
        assert first * rows + rest * (rows - 1) == count
        assert rows > 1 or rest == 0


def test_as_few_blocks_as_can_be_for_the_sizes_of_networks() -> None:
    assert [sum(split(count, 6)[1:]) for count in (16, 32, 64, 128, 256, 512)] == [3, 6, 11, 22, 43, 86]
