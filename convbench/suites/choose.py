"""Which problems are selected: suites and shapes, along axes, through filters?"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from convbench.case import Problem
from convbench.errors import ConvbenchError
from convbench.suites import read_shape, read_suite, suite_names
from convbench.suites.axes import FIELDS, Filter, ProblemAxis, expand
from convbench.suites.foreign import LeftOut

MOST_DETAIL = 100  # characters of a line that is left out


def choose_axes(
    batches: Sequence[str] | None, axes: Sequence[str] | None, **given: Sequence[str] | None
) -> tuple[list[ProblemAxis], dict[str, Sequence[str] | None]]:
    """The axes over sizes, and the words of the other axes by name, each as `given` or from `axes` as NAME=ONE,OTHER.

    Raises:
        ConvbenchError: an axis that is unknown, given twice, or without values.
    """
    sizes = [ProblemAxis.of_batches(",".join(batches))] if batches is not None else []
    for text in axes or ():
        name, _, values = text.partition("=")
        name = name.strip().lower()
        if name in FIELDS:
            sizes.append(ProblemAxis.parse(text))
        elif name not in given:
            hint = "; threads have their own option, --threads 1,2" if name == "threads" else ""
            raise ConvbenchError(f"unknown axis {name!r}: choose from {' '.join([*FIELDS, *given])}{hint}")
        elif given[name] is not None:
            raise ConvbenchError(f"--axis {text}: {name} is already set; give all its values at once")
        elif not (words := [word for word in values.split(",") if word]):
            raise ConvbenchError(f"--axis {text!r} has no values; write it like --axis {name}=ONE,OTHER")
        else:
            given[name] = words
    return sizes, given


def tell_apart(words: Iterable[str]) -> tuple[list[str] | None, list[str] | None]:
    """Suites (names and files), and problems as text; None for none of them."""
    names = suite_names()
    parts: tuple[list[str], list[str]] = ([], [])
    for word in words:
        is_suite = word in names or word.endswith(".csv") or Path(word).is_file()
        parts[not is_suite].append(word)
    return parts[0] or None, parts[1] or None


def choose_problems(
    suites: Sequence[str] | None,
    shapes: Sequence[str] | None,
    default: str,
    *,
    tell: Callable[[str], None],
    sizes: Sequence[ProblemAxis] = (),
    match: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    given: Collection[str] = (),
) -> list[Problem]:
    """The problems of the given suites and shapes, or of the default suite.

    Args:
        suites, shapes, default: where they come from.
        tell: receives a line about what was left out.
        sizes: the axes that multiply them.
        match, exclude: regular expressions.
        given: the requested axes: they replace a data type that a problem names, and every axis that was drawn.
    """
    wanted = Filter.parse(match or (), exclude or ())
    if suites is None and shapes is None:
        suites = [default]
    readings = [*map(read_suite, suites or ()), *map(read_shape, shapes or ())]
    for remark in left_out_remarks(one for reading in readings for one in reading.left_out):
        tell(remark)
    problems = [problem for reading in readings for problem in reading.problems]
    problems = give_way(problems, given)
    found = expand(problems, sizes, wanted)
    if found.illegal:
        few = "1 combination is" if found.illegal == 1 else f"{found.illegal:,} combinations are"
        tell(f"{few} not a convolution and left out, e.g. {found.first_illegal}")
    if found.repeated:
        few = "1 problem has" if found.repeated == 1 else f"{found.repeated:,} problems have"
        tell(f"{few} the same shape as another on these axes and run once")
    if problems and not found.problems and (match or exclude):
        options = [f"--match {one}" for one in match or ()] + [f"--exclude {one}" for one in exclude or ()]
        first = problems[0]
        tell(
            f"{' '.join(options)} leaves none of {len(problems):,} problems; patterns match names and "
            f"sizes, such as {first.suite}:{first.name} {first.spec}"
        )
    return list(found.problems)


def give_way(problems: Sequence[Problem], given: Collection[str]) -> list[Problem]:
    """The problems without values replaced by the requested axes; those that become equal run once.

    Pass and epilogue are one axis: a request for an epilogue excludes gradients.
    """
    kind = "pass" in given or "epilogue" in given
    found: dict[Problem, Problem] = {}
    for problem in problems:
        one = replace(problem, dtype=None) if "dtype" in given else problem
        if problem.drawn:
            one = replace(
                one,
                layout=None if "layout" in given else one.layout,
                pass_=None if kind else one.pass_,
                epilogue=None if kind else one.epilogue,
            )
        found.setdefault(replace(one, name="", source="") if problem.drawn else one, one)
    return list(found.values())


def left_out_remarks(left_out: Iterable[LeftOut]) -> Iterator[str]:
    """One line per kind of what was not taken over from files."""
    kinds: dict[str, list[LeftOut]] = {}
    for one in left_out:
        kinds.setdefault(one.kind, []).append(one)
    for kind, group in kinds.items():
        detail = group[0].detail if len(group[0].detail) <= MOST_DETAIL else group[0].detail[: MOST_DETAIL - 1] + "…"
        times = f"{len(group):,} times, first " if len(group) > 1 else ""
        yield f"{group[0].verb}: {kind} ({times}{group[0].place}: {detail})"
