"""Is every public name described, with an example that runs, and is the page what the code makes?"""

import doctest
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import convbench
from tests.conftest import load_script

REFERENCE = load_script("python_reference")


@pytest.fixture
def reference() -> ModuleType:
    return REFERENCE


def examples(thing: Any, name: str) -> list[doctest.DocTest]:
    """Those of a name and of its own members."""
    found = [(name, thing), *((f"{name}.{member}", value) for member, value in REFERENCE.members(thing))]
    parser = doctest.DocTestParser()
    tests = [
        parser.get_doctest(value.__doc__ or "", {"__name__": "__main__"}, where, None, None) for where, value in found
    ]
    return [one for one in tests if one.examples]


@pytest.mark.parametrize("name", REFERENCE.names())
def test_the_examples_of_a_public_name_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tests = examples(REFERENCE.public(name), name)
    assert tests, "it has no example"
    assert tests[0].name == name, "only its members have examples"
    said: list[str] = []
    for one in tests:
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(one, out=said.append)
    assert not said, "".join(said)


def test_the_page_is_what_the_code_makes_and_has_every_name(reference: ModuleType) -> None:
    if os.environ.get("CONVBENCH_REFRESH_GOLDEN") == "1":
        reference.main()
    page = reference.PAGE.read_text(encoding="utf-8")
    assert page == reference.markdown()
    for name in convbench.__all__:
        assert f"\n## `{name}`\n" in page, name


def test_an_example_that_is_wrong_is_found() -> None:
    def odd() -> None:
        """Adds.

        >>> 1 + 1
        3
        """

    (test,) = examples(odd, "odd")
    said: list[str] = []
    assert doctest.DocTestRunner().run(test, out=said.append).failed == 1
    assert "Expected:\n    3" in "".join(said)
