"""Which cases, and which backends? From suites, shapes, random cases or vectors, along axes and through filters.

Nothing here prints or exits: errors are ConvbenchErrors, notes go to `tell`. Errors name the options of the
command line; its --suite is `suites` here. torch is only imported for CUDA, and by the backends.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from typing import Any

from convbench.backend import OWN, Backend, Unavailable, adopt
from convbench.case import ACCURACIES, DTYPES, EPILOGUES, LAYOUTS, PASSES, PRECISIONS, Case, Problem, cases
from convbench.device import find_device
from convbench.dtypes import short_dtype
from convbench.errors import ConvbenchError, NothingSelected, check_words
from convbench.functions import as_backend

MOST_CASES = 100_000
# More random cases per second than any machine has done, so the clock ends a run and not their number.
CASES_PER_S = 400

Words = Sequence[str] | None
Function = Callable[..., Any]
Tell = Callable[[str], None]


def silent(_: str) -> None:
    """Discards a note."""


def listed(given: str | Iterable[Any] | None) -> list[Any] | None:
    """The words of a text, which commas separate, or a list as it is; None for nothing."""
    if given is None:
        return None
    return [word.strip() for word in given.split(",")] if isinstance(given, str) else list(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What is selected by default; `tf32` on CUDA as well.

    Attributes:
        brought: whether named backends and plug-ins run every pass and epilogue that they implement, and not only
            fprop; only plug-ins run if no other backend is named.
    """

    suite: str
    dtypes: Sequence[str] = ("fp32",)
    layouts: Sequence[str] = ("nchw",)
    tf32: bool = False
    brought: bool = False


FOR_BENCH = Defaults(suite="quick")
FOR_VERIFY = Defaults(suite="awkward", dtypes=DTYPES, layouts=LAYOUTS, tf32=True, brought=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The cases and the backends of one run.

    Attributes:
        plugins: the origins of backends that are neither built in nor installed.
        unavailable: the backends that could not be loaded; each is in `backends` and refuses every case.
        local: the names of those given as objects, which no other process can load.
        faults: what is wrong with the cases themselves, such as two answers for one test vector.

    Raises:
        NothingSelected: there is no case, or no backend.
    """

    cases: Sequence[Case]
    backends: Sequence[Backend]
    plugins: Sequence[str] = ()
    unavailable: Sequence[Unavailable] = ()
    local: Sequence[str] = ()
    faults: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.cases or not self.backends:
            raise NothingSelected(
                f"the selection has no {'case' if self.backends else 'backend'}; nothing was run",
                wrong=bool(self.faults),
            )


def select(
    *,
    suites: Words = None,
    shapes: Words = None,
    fuzz: int | None = None,
    seconds: float | None = None,
    vectors: Words = None,
    batches: Words = None,
    axes: Words = None,
    match: Words = None,
    exclude: Words = None,
    backends: Sequence[str | Backend | Function] | None = None,
    plugins: Sequence[str] = (),
    devices: Words = None,
    dtypes: Words = None,
    layouts: Words = None,
    precisions: Words = None,
    passes: Words = None,
    epilogues: Words = None,
    accuracies: Words = None,
    seed: int = 0,
    defaults: Defaults = FOR_BENCH,
    tell: Tell = silent,
) -> Selection:
    """Select problems, make them cases along the axes, and load the backends.

    Args:
        suites, shapes: names, files and problems; the default suite if neither is given.
        fuzz: this many random cases of the seed instead; with `seconds`, at most as many as that time allows.
        vectors: third-party test vectors instead: onnx, opinfo.
        batches, axes: `8`, `n=1,8`, `hw=8:32:*2`, `dtype=fp32,bf16`.
        match, exclude: regular expressions over problems.
        backends: names, `/REGEX/`, Backends, and functions `fn(x, w, spec)` or like F.conv2d: see `functions`.
        plugins: files and modules of backends.
        tell: receives notes: what was left out, and why.

    Raises:
        ConvbenchError: an unknown word, or words that exclude each other.
        NothingSelected: no case or no backend is left.
    """
    from convbench.suites.choose import choose_axes, choose_problems

    sizes, words = choose_axes(
        batches,
        axes,
        dtype=dtypes,
        layout=layouts,
        precision=precisions,
        device=devices,
        epilogue=epilogues,
        accuracy=accuracies,
        **{"pass": passes},
    )
    random = fuzz is not None or seconds is not None
    if random or vectors is not None:
        refuse_mixture(suite=suites is not None, shape=shapes is not None, fuzz=random, vectors=vectors is not None)
        _refuse_filters(sizes=bool(sizes), match=match is not None, exclude=exclude is not None)
    if vectors is not None:
        _refuse_filters(**{name: words[name] is not None for name in ("pass", "epilogue")})

    brought = defaults.brought and words["pass"] is None and words["epilogue"] is None

    def among(name: str, allowed: Sequence[str], default: Sequence[str]) -> list[str]:
        given = default if (chosen := words[name]) is None else chosen
        return check_words(name, map(short_dtype, given) if name == "dtype" else given, allowed)

    places = choose_devices(words["device"])
    tf32 = any(find_device(one).tensor_cores for one in places)
    axis_values = {
        "dtypes": among("dtype", DTYPES, defaults.dtypes if vectors is None else ()),  # a vector has its own
        "layouts": among("layout", LAYOUTS, defaults.layouts),
        "precisions": among("precision", PRECISIONS, PRECISIONS if defaults.tf32 and tf32 else ("ieee",)),
        "devices": places,
        "accuracies": among("accuracy", ACCURACIES, ("standard",)),
    }
    if vectors is None:
        axis_values["passes"] = among("pass", PASSES, PASSES if random else ("fprop",))
        axis_values["epilogues"] = among("epilogue", EPILOGUES, ("none",))
    problems: list[Problem] = []
    if vectors is None and not random:
        _refuse_idle_epilogues(axis_values["passes"], axis_values["epilogues"])
        problems = choose_problems(
            suites,
            shapes,
            defaults.suite,
            tell=tell,
            sizes=sizes,
            match=match,
            exclude=exclude,
            given=[name for name, chosen in words.items() if chosen is not None],
        )
    alone = defaults.brought and backends is None and bool(plugins)
    loaded, unavailable, local = load_backends(backends, plugins, alone=alone, tell=tell)
    absent = {one.name for one in unavailable}
    there = [one for one in loaded if one.name not in absent]
    if brought and not random and vectors is None and (alone or backends is not None):
        axis_values["passes"], axis_values["epilogues"] = bring(there)
    problems = [one for problem in problems for one in brought_by(problem, there)]
    found: Iterator[Case]
    faults: list[str] = []
    if random:
        from convbench.suites.fuzz import fuzz as random_cases

        count = _count_random(fuzz, seconds)
        found = islice(random_cases(seed, **axis_values), count if all(axis_values.values()) else 0)
    elif vectors is not None:
        from convbench.verify.vectors.cases import vector_cases

        of_vectors, faults = vector_cases(vectors, **axis_values, seed=seed, tell=tell)
        found = iter(of_vectors)
    else:
        found = cases(problems, seed=seed, **axis_values)
    chosen = list(islice(found, MOST_CASES + 1))
    if len(chosen) > MOST_CASES:
        raise ConvbenchError(
            f"the axes multiply to more than {MOST_CASES:,} cases, the limit for one run; try fewer "
            f"values, or select problems with --match"
        )
    if vectors is not None and not (chosen and loaded):
        raise NothingSelected("there is no vector to run; nothing was run", wrong=bool(faults))
    return Selection(
        cases=chosen, backends=loaded, plugins=tuple(plugins), unavailable=unavailable, local=local, faults=faults
    )


def refuse_mixture(**given: bool) -> None:
    """Suites, random cases and vectors each select the cases: raise if more than one of them is given."""
    chosen = [name for name, there in given.items() if there]
    if len(chosen) > 1:
        raise ConvbenchError(
            f"{' and '.join('--' + name for name in chosen)} each select the cases; give one of them, and run the "
            f"others separately"
        )


def _refuse_filters(**given: bool) -> None:
    """Raise if options that select problems of suites are combined with random cases or vectors."""
    if chosen := [name for name, there in given.items() if there]:
        names = {"sizes": "--batch or --axis of a size"}
        raise ConvbenchError(
            f"{' and '.join(names.get(name, '--' + name) for name in chosen)} cannot be combined with --fuzz, "
            f"--seconds or "
            f"--vectors, whose cases are fixed; leave it out"
        )


def _refuse_idle_epilogues(passes: Sequence[str], epilogues: Sequence[str]) -> None:
    if "fprop" not in passes and (idle := [name for name in epilogues if name != "none"]):
        raise ConvbenchError(
            f"--epilogue {','.join(idle)} --pass {','.join(passes)}: an epilogue only applies to fprop; "
            f"add fprop to --pass, or leave --epilogue out"
        )


def _count_random(count: int | None, seconds: float | None) -> int:
    if count is not None and count > MOST_CASES:
        raise ConvbenchError(
            f"--fuzz {count}: the limit is {MOST_CASES:,} cases per run; use another --seed for other cases"
        )
    most = MOST_CASES if seconds is None else min(MOST_CASES, ceil(seconds * CASES_PER_S))
    return most if count is None else max(0, min(count, most))


def brought_by(problem: Problem, backends: Sequence[Backend]) -> Iterator[Problem]:
    """A problem as it is, or as a plain fprop for backends without the pass or epilogue drawn for it."""
    pass_, epilogue = problem.pass_ or "fprop", problem.epilogue or "none"
    if not problem.drawn or (pass_, epilogue) == ("fprop", "none"):
        yield problem
        return
    have = [pass_ in one.passes and (epilogue == "none" or epilogue in one.epilogues) for one in backends]
    if any(have) or not have:
        yield problem
    if not all(have):
        yield replace(problem, pass_="fprop", epilogue="none")


def choose_devices(given: Words) -> list[str]:
    """The available devices; the CPU by default."""
    chosen = [find_device(word.lower()) for word in (("cpu",) if given is None else given)]
    for device in chosen:
        if (why := device.why_absent()) is not None:
            raise ConvbenchError(f"--device {device.name}: {why}; try --device cpu, or run 'convbench list devices'")
    return [device.name for device in chosen]


def bring(backends: Sequence[Backend]) -> tuple[list[str], list[str]]:
    """The passes and epilogues that at least one of these implements; a backend without one gets a row that says so."""
    passes = [name for name in PASSES if name == "fprop" or any(name in one.passes for one in backends)]
    epilogues = [name for name in EPILOGUES if name == "none" or any(name in one.epilogues for one in backends)]
    return passes, epilogues


def load_backends(
    given: Sequence[str | Backend | Function] | None,
    plugins: Sequence[str] = (),
    *,
    alone: bool = False,
    tell: Tell = silent,
) -> tuple[list[Backend], list[Unavailable], list[str]]:
    """The requested backends, or all of them, those that cannot be loaded, and the names of those that only
    exist in this process.

    One that cannot be loaded refuses every case. Named backends come first; with `alone` only the plug-ins are
    loaded. Third-party code is loaded in another process
    if the system supports that: see `bring_here`.
    """
    from convbench.discovery import discover, is_pattern, refuse_twins, sources
    from convbench.expressions import Expression
    from convbench.workers.probe import load_others

    asked = None if given is None else [one for one in given if isinstance(one, str)]
    objects = [_as_backend(one) for one in given or () if not isinstance(one, str)]
    patterns = [(word, Expression("--backend", word[1:-1])) for word in asked or () if is_pattern(word)]
    loaded, unavailable = discover(plugins, asked, alone=alone, others=load_others)
    names = {one.name for one in loaded}
    for source in sources():  # code that came with another package: whose, and which version
        if source.origin != OWN and source.name in names:
            if source.shadowed:
                tell(f"{source.doc} is left out: convbench has its own backend {source.name}")
            else:
                tell(f"the backend {source.name} is {source.doc}")
    for gone in unavailable:
        if gone.broken:
            tell(f"the backend {gone.name} from {gone.origin} is unavailable: {gone.reason}")
    backends = [*loaded, *(one.as_backend() for one in unavailable), *objects]
    if objects:
        refuse_twins((one.name, one.origin) for one in backends)
    for word, pattern in patterns:
        if not any(pattern.found_in(one.name) for one in backends):
            tell(f"--backend {word} matches no backend; see 'convbench list backends'")
    for one in backends:
        if one.ignored:
            tell(
                f"{one.name} declares {', '.join(one.ignored)}: ignored, because only convbench's own backends may "
                f"declare this"
            )
    return backends, unavailable, [one.name for one in objects if not one.built_in]


def _as_backend(given: Backend | Function) -> Backend:
    made = given if isinstance(given, Backend) else as_backend(given)
    return made if made.built_in else adopt(made, made.origin)


def bring_here(backends: Sequence[Backend], plugins: Sequence[str] = ()) -> list[Backend]:
    """The same backends, all loaded in this process; one that cannot be loaded refuses every case.

    Raises:
        ConvbenchError: a plug-in does not load.
    """
    from convbench.discovery import discover

    if all(one.is_here for one in backends):
        return list(backends)
    loaded, unavailable = discover(plugins, [one.name for one in backends if not one.is_here])
    here = {one.name: one for one in (*loaded, *(one.as_backend() for one in unavailable))}
    return [one if one.is_here else here[one.name] for one in backends]
