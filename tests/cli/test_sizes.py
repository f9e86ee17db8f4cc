"""--input and --weight: a problem by the sizes of its tensors."""

import pytest

from tests.cli.conftest import Cli


@pytest.mark.parametrize("command", ["verify", "bench", "cost", "explain"])
def test_every_command_that_takes_a_problem_takes_its_sizes(cli: Cli, command: str) -> None:
    more = ("--dry-run", "--backend", "torch", "--dtype", "fp32") if command in ("verify", "bench") else ()
    sizes = ("--input", "2x4x9x9", "--weight", "6x2x4x3", "--stride", "2", "--padding", "0x1x1x0")
    done = cli(command, *sizes, *more)
    assert done.code == 0, done.err
    assert ("x (2,4,9,9) ⋆ w (6,2,4,3)" if command == "explain" else "n2c4h9w9k6r4s3_st2_pd0x1x1x0_g2") in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explain", "1x1x4x4"), "1x1x4x4 is the size of a tensor, not a problem; write --input 1x1x4x4 --weight"),
        (("explain", "--weight", "1x1x2x2"), "--weight: a problem needs both"),
        (("bench", "--stride", "2"), "--stride: a problem needs both"),
        (("explain", "n1c1h4w4k1r2s2", "--input", "1x1x4x4", "--weight", "1x1x2x2"), "are two problems; give one"),
        (("explain", "--input", "1x1x4x4,1x1x5x5", "--weight", "1x1x2x2"), "1x1x4x4,1x1x5x5"),
        (("model", "resnet18", "--weight", "1x1x2x2"), "No such option: --weight"),
    ],
)
def test_half_a_problem_and_two_problems_are_one_line(cli: Cli, words: tuple[str, ...], said: str) -> None:
    done = cli(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
