"""A way to run the command line inside the test's process."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from convbench.cli import main

LAST_TAP = '''
"""Drops the last tap in the last column."""
import torch.nn.functional as F
from convbench import backend

@backend(family="direct", source="a test")
def last_tap(x, w, spec):
    def conv(w):
        return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
    y, cut = conv(w), w.clone()
    cut[:, :, -1, -1] = 0
    y[..., -1] = conv(cut)[..., -1]
    return y
'''


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    def run(*words: object) -> Done:
        monkeypatch.setattr("sys.argv", ["convbench", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Done(int(end.value.code or 0), out, err)

    return run


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as stopped:
        main([*words])
    out, err = capsys.readouterr()
    code = stopped.value.code or 0
    assert isinstance(code, int)
    return code, out, err


def explain(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    return run(capsys, "explain", *words)


def table(out: str) -> list[dict[str, str]]:
    """Tab-separated output as rows."""
    header, *lines = [line.split("\t") for line in out.splitlines()]
    return [dict(zip(header, line, strict=True)) for line in lines]
