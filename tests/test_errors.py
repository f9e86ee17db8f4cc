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


@pytest.mark.parametrize(
    "folder", ["venv/lib/python3/site-packages/torch", "usr/lib/python3/dist-packages", "torchinductor_me/ab"]
)
def test_what_is_installed_or_was_written_by_a_compiler_is_not_the_users_own(tmp_path: Path, folder: str) -> None:
    scope = {"inner": defined("def outer():\n    1 / 0\n", str(tmp_path / folder / "functional.py"))}
    exec(compile("def outer():\n    inner()\n", str(tmp_path / "my_conv.py"), "exec"), scope)
    with pytest.raises(ZeroDivisionError) as caught:
        scope["outer"]()
    assert place(caught.value) == "my_conv.py:2"


def test_a_file_name_may_be_of_a_class_of_its_own() -> None:
    class Odd(str):
        def startswith(self, *_: object) -> bool:
            raise OSError

    outer = defined("def outer():\n    1 / 0\n", "my_conv.py")
    outer.__code__ = outer.__code__.replace(co_filename=Odd("other.py"))
    with pytest.raises(ZeroDivisionError) as caught:
        outer()
    assert place(caught.value) == "other.py:2"


def test_a_file_that_tries_to_steer_the_terminal_is_written_out(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        defined("def outer():\n    1 / 0\n", str(tmp_path / "\x1b[2J.py"))()
    assert place(caught.value) == r"\x1b[2J.py:2"


def test_an_exception_that_hides_its_way_is_followed_all_the_same(tmp_path: Path) -> None:
    code = "class Odd(OSError):\n    __traceback__ = 3\n\ndef outer():\n    raise Odd('odd')\n"
    with pytest.raises(OSError, match="odd") as caught:
        defined(code, str(tmp_path / "my_conv.py"))()
    assert place(caught.value) == "my_conv.py:5"
