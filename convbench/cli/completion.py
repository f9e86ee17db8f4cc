"""What may the word be that somebody begins to type? Nothing here imports torch, for a shell waits for the answer."""

from collections.abc import Callable, Iterable


def listed(words: Callable[[str], Iterable[str]]) -> Callable[[str], list[str]]:
    """The words that go on with the last of a list: `torch,on` with `torch,onednn`."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{word}" for word in words(last) if word.startswith(last)]

    return complete


def suites(_: str) -> Iterable[str]:
    from convbench.suites import suite_names

    return suite_names()


def shapes(last: str) -> Iterable[str]:
    """Suites, and behind a colon the rows of one."""
    from convbench.suites import load_suite, suite_names

    suite, colon, _ = last.partition(":")
    if not colon:
        return ["note", *(f"{name}:" for name in suite_names())]
    return (f"{suite}:{problem.name}" for problem in load_suite(suite)) if suite in suite_names() else ()


def backends(_: str) -> Iterable[str]:
    from convbench.discovery import sources

    return [source.name for source in sources()]


def among(words: Iterable[str]) -> Callable[[str], Iterable[str]]:
    """The words of a list that is known."""
    return lambda _: words
