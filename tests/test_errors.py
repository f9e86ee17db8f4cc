"""What foreign code raises, in one line."""

from collections.abc import Callable
from json import JSONDecodeError
from pathlib import Path

import pytest

from convbench.errors import place


def defined(code: str, file: str) -> Callable[[], None]:
    """The function `outer` of a file that need not be there."""
    scope: dict[str, Callable[[], None]] = {}
    exec(compile(code, file, "exec"), scope)
    return scope["outer"]


def test_the_last_line_of_the_users_own_file_is_named(tmp_path: Path) -> None:
    code = "import json\n\ndef inner():\n    json.loads('{')\n\ndef outer():\n    inner()\n"
    with pytest.raises(JSONDecodeError) as caught:
        defined(code, str(tmp_path / "my_conv.py"))()
    assert place(caught.value) == "my_conv.py:4"  # and not a line of json's


def test_what_was_never_raised_or_has_no_file_has_no_place() -> None:
    assert place(ValueError("no")) == ""
    with pytest.raises(ZeroDivisionError) as caught:
        defined("def outer():\n    1 / 0\n", "<string>")()
    own = caught.value.__traceback__
    assert own is not None
    assert place(caught.value.with_traceback(own.tb_next)) == ""


def test_a_file_that_tries_to_steer_the_terminal_is_written_out(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        defined("def outer():\n    1 / 0\n", str(tmp_path / "\x1b[2J.py"))()
    assert place(caught.value) == r"\x1b[2J.py:2"


def test_an_exception_that_hides_its_way_is_followed_all_the_same(tmp_path: Path) -> None:
    code = "class Odd(OSError):\n    __traceback__ = 3\n\ndef outer():\n    raise Odd('odd')\n"
    with pytest.raises(OSError, match="odd") as caught:
        defined(code, str(tmp_path / "my_conv.py"))()
    assert place(caught.value) == "my_conv.py:5"
