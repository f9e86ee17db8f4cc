"""What can a program or a notebook ask of convbench, in one call each? The same as the commands of these names."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import inf
from numbers import Real
from typing import TYPE_CHECKING, Any

from convbench.backend import BASELINE, Backend
from convbench.case import ACCURACIES, Case, Problem
from convbench.errors import ConvbenchError, NothingSelected, fraction
from convbench.functions import python_name
from convbench.outcome import Result, Verified
from convbench.results import Results
from convbench.show.notebook import WIDTH, Shown, as_html, as_text, frame, text_width
from convbench.spec import ConvSpec

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor, nn

    from convbench.compare import Changes
    from convbench.explain.steps import Walk
    from convbench.models.costs import ModelCosts
    from convbench.models.inputs import GivenInput
    from convbench.optimize.fast import FastModel
    from convbench.optimize.race import CandidateRow, Race
    from convbench.selection import Defaults, Selection
    from convbench.session import Bench, Verify
    from convbench.tuned import TunedPlan

Implementation = str | Backend | Callable[..., Any]
Problems = str | ConvSpec | Iterable[Any]  # texts and ConvSpecs, or a DataFrame
Words = str | Sequence[str] | None
Dtypes = Any  # words, and torch's own dtypes
File = str | os.PathLike[str]
MOST_FAULTS = 3  # in an error; `verify` has all


def bench(
    backends: Implementation | Sequence[Implementation] | None = None,
    on: Problems = "quick",
    *,
    dtypes: Dtypes = None,
    layouts: Words = None,
    devices: Words = None,
    precisions: Words = None,
    passes: Words = None,
    epilogues: Words = None,
    accuracies: Words = None,
    where: Callable[[ConvSpec], bool] | None = None,
    plugins: Words = (),
    seed: int = 0,
    threads: int = 0,
    budget_s: float = 3.0,
    confidence: float = 0.998,
    margin: float = 0.02,
    ceilings: bool = True,
    force: bool = False,
    isolate: bool | None = None,
    timeout_s: float | None = None,
    memory_nbytes: int | None = None,
    csv: File | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Results:
    """Time implementations of a convolution against each other, each verified before, during and after.

    As `convbench bench`: in random turns, round by round, compared with torch by the ratios within a round.

    Args:
        backends: names (`convbench list backends`), Backends, and functions: `fn(x, w, spec)`, or with the signature
            of `torch.nn.functional.conv2d`; x is (N, C, H, W), w (K, C/G, R, S), y (N, K, P, Q). None means all
            backends. Without "torch" there are no ratios and no verdicts.
        on: a suite (`convbench list suites`, or a file), a problem as text, a ConvSpec, or a list of these; of a
            DataFrame its column `spec`.
        dtypes, layouts, devices, precisions, passes, epilogues, accuracies: one or a list each, as the options of
            `convbench bench`, dtypes as torch's own too; by default fp32, nchw, cpu, ieee, fprop, none, standard.
        where: only problems for which this is true.
        plugins: files and modules with @backend functions.
        seed: of the random operands.
        threads: of the CPU; 0 as torch has them.
        budget_s: seconds for each backend besides torch on each case.
        confidence: joint confidence of all verdicts of one case.
        margin: ratios within this are a tie.
        ceilings: whether to compare with what this machine can do at most, which is measured once.
        force: run cases that a backend refuses only because they are slow.
        isolate: run backends in worker processes; None means for plug-ins, installed backends, GPUs, and with a
            limit. A function or a Backend of this program cannot be isolated; the result's notes say so.
        timeout_s, memory_nbytes: limits of a step and of a case, which need isolation.
        csv: a file that gets the rows of each case when it ends, so that an interrupted run leaves them.
        overwrite: replace that file.
        progress: show a bar, in a terminal or a notebook.

    Returns:
        A result for each case and backend, cases in their order.

    Raises:
        ConvbenchError: an unknown name or value, a file that cannot be read or written, or nothing is left to run.

    Example:
        >>> import convbench as cb
        >>> def my_conv(x, w, spec):
        ...     import torch
        ...     return torch.nn.functional.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
        >>> r = cb.bench(["torch", my_conv], on="n1c4h9w9k8r3s3_pd1", budget_s=0.05, ceilings=False)
        >>> r.to_frame()[["backend", "outcome"]].values.tolist()
        [['torch', 'timed'], ['my-conv', 'timed']]
    """
    from convbench.selection import FOR_BENCH
    from convbench.session import Bench

    axes = _Axes(_dtype_names(dtypes), layouts, devices, precisions, passes, epilogues, accuracies)
    how = _How(threads, isolate, timeout_s, memory_nbytes, csv, overwrite, progress)
    budget_s, confidence = _number("budget_s", budget_s), _number("confidence", confidence)
    work = Bench(
        budget_s=budget_s, confidence=confidence, margin=_number("margin", margin), ceilings=ceilings, force=force
    )
    notes: list[str] = []
    chosen = _select(backends, on, axes, where, plugins, seed, FOR_BENCH, notes)
    if all(one.name != BASELINE for one in chosen.selection.backends):
        notes.append(f"no ratio and no verdict: add {BASELINE!r}, the baseline, to the backends")
    return _run(chosen, work, how, notes)


def verify(
    backends: Implementation | Sequence[Implementation] | None = None,
    on: Problems = "awkward",
    *,
    dtypes: Dtypes = None,
    layouts: Words = None,
    devices: Words = None,
    precisions: Words = None,
    passes: Words = None,
    epilogues: Words = None,
    accuracies: Words = None,
    where: Callable[[ConvSpec], bool] | None = None,
    plugins: Words = (),
    seed: int = 0,
    threads: int = 0,
    force: bool = False,
    isolate: bool | None = None,
    timeout_s: float | None = None,
    memory_nbytes: int | None = None,
    csv: File | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Results:
    """Check every output of implementations against a proven bound of its error.

    As `convbench verify`: each number against a float64 reference, with a bound of its own.

    Args:
        backends: as for `bench`. Except on awkward, bias and bias_relu of a function with a `bias` are verified too,
            and of a Backend all gradients and epilogues that it has.
        on: as for `bench`; by default the suite awkward, whose rows each have a dtype, layout, pass and epilogue.
        dtypes, layouts, passes, epilogues: by default all that the backends have, or what each row of the suite has.
        devices, precisions, accuracies, where, plugins, seed, threads, force: as for `bench`.
        isolate, timeout_s, memory_nbytes, csv, overwrite, progress: as for `bench`.

    Returns:
        A result for each case and backend; `faults` are those that are wrong or failed.

    Raises:
        ConvbenchError: an unknown name or value, a file that cannot be read or written, or nothing is left to run.

    Example:
        >>> import convbench as cb
        >>> def half(x, w, bias=None, stride=1, padding=0, dilation=1, groups=1):
        ...     import torch
        ...     y = torch.nn.functional.conv2d(x.bfloat16(), w.bfloat16(), None, stride, padding, dilation, groups)
        ...     return y.to(x.dtype)
        >>> r = cb.verify(half, on="n1c8h6w6k4r3s3_pd1", dtypes="fp32", layouts="nchw", epilogues="none")
        >>> r.faults[0].outcome.check.worst_of_bound > 1
        True
    """
    from convbench.selection import FOR_VERIFY
    from convbench.session import Verify

    axes = _Axes(_dtype_names(dtypes), layouts, devices, precisions, passes, epilogues, accuracies)
    how = _How(threads, isolate, timeout_s, memory_nbytes, csv, overwrite, progress)
    notes: list[str] = []
    chosen = _select(backends, on, axes, where, plugins, seed, FOR_VERIFY, notes)
    return _run(chosen, Verify(force=force), how, notes)


def assert_convolution(
    backends: Implementation | Sequence[Implementation],
    on: Problems = "awkward",
    *,
    dtypes: Dtypes = None,
    layouts: Words = None,
    devices: Words = None,
    precisions: Words = None,
    passes: Words = None,
    epilogues: Words = None,
    accuracies: Words = None,
    where: Callable[[ConvSpec], bool] | None = None,
    plugins: Words = (),
    seed: int = 0,
    isolate: bool | None = None,
) -> Results:
    """Verify, and raise if anything is wrong: one line in a test.

    Args:
        backends, on: as for `verify`.
        dtypes, layouts, devices, precisions, passes, epilogues, accuracies, where, plugins, seed, isolate: as for
            `verify`.

    Returns:
        The results, at least one of them verified.

    Raises:
        AssertionError: something is wrong or failed: its cause, its place, the smallest problem that shows it, and what
            reproduces it; or nothing was verified, because every case was refused.
        ConvbenchError: as for `verify`.

    Example:
        >>> import convbench as cb
        >>> def shifted(x, w, spec):
        ...     import torch
        ...     return torch.nn.functional.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups) + 1
        >>> cb.assert_convolution(shifted, on="n1c1h4w4k1r2s2", dtypes="fp32", layouts="nchw")
        Traceback (most recent call last):
            ...
        AssertionError: WRONG shifted on n1c1h4w4k1r2s2 (n1c1h4w4k1r2s2; cpu fp32 nchw ieee)
        ...
    """
    __tracebackhide__ = True  # pytest shows the test's line, not this one
    found = verify(
        backends,
        on,
        dtypes=dtypes,
        layouts=layouts,
        devices=devices,
        precisions=precisions,
        passes=passes,
        epilogues=epilogues,
        accuracies=accuracies,
        where=where,
        plugins=plugins,
        seed=seed,
        isolate=isolate,
        progress=False,
    )
    if found.faults:
        from convbench.show.results import fault_text

        raise AssertionError("\n".join(fault_text(found, found.reproduce, MOST_FAULTS)))
    if not any(isinstance(one.outcome, Verified) for one in found):
        raise AssertionError(f"nothing was verified:\n{found.text()}")
    return found


def explain(
    on: str | ConvSpec | Problem | Case | Result = "note",
    *,
    at: tuple[int, int] | None = None,
    filter: int | None = None,  # noqa: A002  # as the option is called
    image: int = 0,
    seed: int = 0,
) -> "Explanation":
    """Walk through one convolution, step by step, with actual numbers; in a notebook, as an interactive page.

    As `convbench explain`: every number is checked against PyTorch and float64 before it is shown. Only the command
    also measures what loops cost here, and watches what PyTorch really ran.

    Args:
        on: a problem as text, `SUITE:ROW`, a ConvSpec, or a result, its case or its problem; by default the worked
            example, n1c1h4w4k1r2s2.
        at: the output to follow: its row and column, from 0.
        filter, image: the output channel and the image of that output, from 0.
        seed: of the numbers; with 0, x repeats 1 to 97.

    Returns:
        Its text, and its page in a notebook; `walk` has the numbers.

    Raises:
        ConvbenchError: it is not a problem, there is no such output, or it is too large to walk through.
        UnprovedError: a number is not what PyTorch or float64 says, so nothing is shown.

    Example:
        >>> import convbench as cb
        >>> cb.explain("n1c1h4w4k1r2s2", at=(0, 0)).walk.y.int().tolist()
        [[[[44, 54, 64], [84, 94, 104], [124, 134, 144]]]]
    """
    from convbench.explain.steps import UnprovedError
    from convbench.explain.walk import affordable, choose_cell, small_integers, walk
    from convbench.suites import find_problem

    if isinstance(on, str):
        whole = find_problem(on).spec
    else:
        problem = on.case if isinstance(on, Result) else on
        found_spec = problem.spec if isinstance(problem, Case | Problem) else problem
        if not isinstance(found_spec, ConvSpec):
            raise ConvbenchError(
                f"explain() got a {type(on).__name__}; give a problem as text (of a row of a DataFrame, row.spec), a "
                f"ConvSpec, or a result"
            )
        whole = found_spec
    if at is not None and not (isinstance(at, Sequence) and len(at) == 2):
        raise ConvbenchError(f"at={at!r}: give the row and the column of an output, such as at=(0, 1)")
    try:
        cell = choose_cell(whole, at=at, image=image, filter_index=filter)
    except ConvbenchError as error:  # it names the options of the command
        raise ConvbenchError(re.sub(r"^--(\w+): ", r"\1: ", str(error))) from None
    spec = affordable(whole)
    found = walk(*small_integers(spec, seed), spec, cell if spec == whole else replace(cell, n=0))
    if not found.holds:
        raise UnprovedError(found.failures)
    note = (
        f"{whole.n} images take too long to check; images are independent, so this shows one" if spec != whole else ""
    )
    return Explanation(found, seed, note)


def compare(
    before: "Results | File",
    after: "Results | File",
    *,
    fail_if_slower: float | str | None = None,
    margin: float | str | None = None,
    confidence: float = 0.99,
    relative: bool = False,
    across: bool = False,
) -> "ChangeReport":
    """Compare two runs: what got slower, or broke?

    As `convbench compare`. All intervals hold together with the confidence.

    Args:
        before, after: Results, or CSV files.
        fail_if_slower: the slowdown of a row that is a regression, as a share, 0.05 or "5%"; by default the margin.
        margin: times that differ by less are the same, as a share; by default 0.015, or `fail_if_slower` if less.
        confidence: joint confidence of all intervals.
        relative: compare ratios to torch, which cancels drift of the machine.
        across: compare different machines anyway.

    Returns:
        Its `state` is "ok", "regression", "undecided" or "nothing" (to compare); `changes` has the rows.

    Raises:
        ConvbenchError: a file cannot be read, the machines differ, or a share is out of range.

    Example:
        >>> import convbench as cb
        >>> r = cb.verify("torch", on="n1c1h6w6k2r3s3", dtypes="fp32", layouts="nchw", passes="fprop")
        >>> cb.compare(r, r).state
        'ok'
    """
    from convbench.compare import Gate, compare_pairs

    slowdown = None if fail_if_slower is None else _share("fail_if_slower", fail_if_slower)
    margin = min(0.015, slowdown or 0.015) if margin is None else _share("margin", margin)
    allowance = margin if slowdown is None else slowdown
    confidence = _number("confidence", confidence)
    if not 0 < margin <= allowance <= 10 or not 0.5 <= confidence < 1:
        raise ConvbenchError(
            f"margin={margin:g} fail_if_slower={allowance:g} confidence={confidence:g}: give shares above 0, the "
            f"margin not above fail_if_slower, and a confidence from 0.5 to below 1, such as 0.015, 0.05 and 0.99"
        )
    gate = Gate(confidence=confidence, margin=margin, allowance=allowance, relative=relative)
    sides = {"before": before, "after": after}
    for side, one in sides.items():
        if not isinstance(one, Results | str | os.PathLike):
            raise ConvbenchError(f"{side} is a {type(one).__name__}; give Results or a CSV file, not its rows")
    old, new = (one if isinstance(one, Results) else Results.load(one) for one in sides.values())
    names = {side: side if isinstance(one, Results) else os.fspath(one) for side, one in sides.items()}
    return ChangeReport(compare_pairs(old.pairs, new.pairs, gate=gate, across=across, **names))


def model(
    net: "nn.Module | str", x: "Tensor | Sequence[Tensor] | Sequence[int] | None" = None, *, timed: bool = True
) -> "ModelReport":
    """List the convolutions of a model, with the cost of each.

    As `convbench model`, on the CPU. The model is copied, and runs without gradients.

    Args:
        net: a torch.nn.Module, or the name of a model, as in `convbench model`.
        x: its input, (N, C, H, W), or the sizes of it; a list of tensors for several inputs. None means the input that
            a named model declares, or 1x3x224x224.
        timed: measure the share of time of each convolution, in some forward passes, and watch which
            kernel PyTorch runs for it. False runs nothing at full size.

    Returns:
        A table; `to_csv` writes it as a suite for `bench` and `verify`.

    Raises:
        ConvbenchError: there is no such model, or it does not run on this input.

    Example:
        >>> import convbench as cb
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 1))
        >>> [row.name for row in cb.model(net, torch.randn(1, 3, 16, 16), timed=False).costs.rows]
        ['0', '2']
    """
    from copy import deepcopy

    from convbench.models.source import ModelSource
    from convbench.ran.study import study

    if isinstance(net, str):
        return ModelReport(study(net, _inputs(x), timed=timed))
    source = ModelSource(name=type(net).__name__, origin=type(net).__module__, make=lambda: deepcopy(net))
    return ModelReport(study(source, _inputs(x), timed=timed))


def optimize(
    net: "nn.Module | str",
    x: Any = None,
    *,
    accuracy: str = "standard",
    threads: int = 0,
    only: Words = None,
    budget_s: float = 5.0,
    plan: File | None = None,
    retune: bool = False,
    isolate: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> "Optimized":
    """Make a model faster on this CPU: the fastest of all ways to run it, with its outputs checked.

    As `convbench optimize`: torch eager, channels_last, torch.compile, ONNX Runtime, OpenVINO, ncnn and convbench's own
    graph are raced in interleaved rounds, in fp32 with the same threads; each output is compared with float64.

    Args:
        net: a torch.nn.Module in evaluation mode, fp32, on the CPU; or the name of a model. It is not changed.
        x: its input: a tensor, a tuple of its arguments, or a dict of them by name. For a model by name also its sizes,
            or None for the input that it declares.
        accuracy: strict: an output's relative L2 error is at most twice that of torch eager on the same input;
            standard: at most 5e-6 or twice that of eager, whichever is larger.
        threads: of the CPU; 0 as torch has them. Winners that torch runs (channels-last, torch-compile) take as many
            as torch has when they are called.
        only: names of candidates; eager is always among them. None means all that are installed.
        budget_s: seconds of rounds for each candidate besides eager, and again for each finalist; to export and
            to compile them comes on top.
        plan: a file that `convbench optimize -o` or `save_plan` wrote: its winner is used, and nothing is raced.
        retune: race anyway, and write the plan file.
        isolate: run each candidate in its own process, if the model can be loaded there.
        seed: of the random inputs, and of the order of the rounds.
        progress: say on stderr what is being done, in a terminal.

    Returns:
        Called like the model, with the same output; `winner` is the candidate that runs. Other shapes, training mode,
        inputs that want a gradient, autocast, and changed weights go to the model itself, said once by a warning.

    Raises:
        ConvbenchError: the model cannot be made faster or proved, with what to do; the machine is too busy to
            tell; or the plan does not hold here, or has another model.

    Example:
        >>> import convbench as cb
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()).eval()
        >>> x = torch.randn(1, 3, 16, 16)
        >>> fast = cb.optimize(net, x, only="eager", budget_s=0.05, isolate=False)
        >>> fast.winner, bool((fast(x) == net(x)).all())
        ('eager', True)
    """
    from contextlib import nullcontext

    from convbench.errors import check_words
    from convbench.optimize.candidates import choose_candidates
    from convbench.optimize.fast import FastModel
    from convbench.optimize.plans import add, plan_of
    from convbench.optimize.race import race
    from convbench.optimize.subject import as_inputs, require_fit
    from convbench.optimize.use import Keeper, fast_by_plan, subject_of
    from convbench.selection import listed
    from convbench.session import threads_set
    from convbench.show.optimize import sentence
    from convbench.show.waiting import Waiting
    from convbench.tuned import TunedPlan

    [accuracy] = check_words("accuracy", [accuracy], ACCURACIES)
    _check_threads(threads)
    if not 0 < (budget_s := _number("budget_s", budget_s)) < inf:
        raise ConvbenchError(f"budget_s={budget_s:g}: give seconds, more than 0")
    candidates = choose_candidates(None if only is None else listed(only) or ())
    sized = isinstance(net, str) and (x is None or all(isinstance(one, int) for one in x))
    waiting = Waiting("reading the model")
    with threads_set(threads) as count, waiting if progress else nullcontext():
        subject = subject_of(net, _inputs(x) if sized else as_inputs(x))
        require_fit(subject)
        if plan is not None and not retune:
            held = TunedPlan.load(plan, threads=count, accuracy=accuracy)
            fast, entry = fast_by_plan(subject, held, os.fspath(plan), waiting.say)
            return Optimized(fast, held, entry, None)
        keeper = Keeper(waiting.say)
        found = race(
            subject,
            candidates,
            threads=count,
            accuracy=accuracy,
            budget_s=budget_s,
            isolate=isolate,
            seed=seed,
            say=waiting.say,
            hold=waiting.hold,
            keep=keeper,
        )
    if not found.winner:
        raise ConvbenchError(sentence(found))
    made = FastModel(subject.model, subject.inputs, found.winner, keeper.call or subject.model)
    if plan is not None:
        add(found, os.fspath(plan), retune=retune)
    own = plan_of(found)
    return Optimized(made, own, own.models[0], found)


class Explanation(Shown):
    """The walk through one convolution: its text, and its page in a notebook.

    Attributes:
        walk: every number, in float64; `walk.y` is (N, K, P, Q).
        note: what is not shown, or "".
    """

    __slots__ = ("_seed", "note", "walk")

    def __init__(self, walk: "Walk", seed: int, note: str) -> None:
        self.walk, self._seed, self.note = walk, seed, note

    def text(self, width: int | None = None) -> str:
        """The eight steps in `width` columns (60 to 120); by default as wide as the terminal."""
        from convbench.show.explain import page

        width = text_width(width)
        return as_text([*page(self.walk, width), *([f"note: {self.note}"] if self.note else [])], width)

    def page(self) -> str:
        """The interactive page as HTML, which needs no network.

        Raises:
            ConvbenchError: it is more than a browser can show at once.
        """
        from convbench.show.explain_page import explain_page

        return explain_page(self.walk, seed=self._seed)

    def _repr_html_(self) -> str:
        try:
            page = self.page()
        except ConvbenchError:  # too large
            return as_html(self.text(WIDTH))
        return frame(page, f"convbench explain {self.walk.spec}")


@dataclass(frozen=True, slots=True, repr=False)
class ChangeReport(Shown):
    """What changed between two runs.

    Attributes:
        changes: the rows that were compared, and those that could not be.
    """

    changes: "Changes"

    @property
    def state(self) -> str:
        """regression before undecided before nothing (to compare) before ok."""
        return self.changes.state

    def text(self, width: int | None = None) -> str:
        """The table and the answer in `width` columns (60 to 120); by default as wide as the terminal."""
        from convbench.show.changes import apart_lines, changes_table, headline, note_lines, remarks

        width, lines = text_width(width), [apart_lines, note_lines, remarks]
        more = [line for of in lines for line in of(self.changes)]
        return as_text([changes_table(self.changes, width=width), *more, headline(self.changes)], width)

    def to_frame(self) -> "DataFrame":
        """A pandas DataFrame: a row for each that was compared, or could not be, as `convbench compare` prints."""
        import pandas as pd

        from convbench.show.changes import COLUMNS, changes_rows

        return pd.DataFrame(list(changes_rows(self.changes)), columns=list(COLUMNS))


@dataclass(frozen=True, slots=True, repr=False)
class ModelReport(Shown):
    """The convolutions of a model.

    Attributes:
        costs: each, in the order in which it ran; equal ones are a row.
    """

    costs: "ModelCosts"

    def text(self, width: int | None = None) -> str:
        """The table and the totals in `width` columns (60 to 120); by default as wide as the terminal."""
        from convbench.show.models import page

        width = text_width(width)
        return as_text([page(self.costs, width)], width)

    def to_csv(self, path: File, *, overwrite: bool = True) -> None:
        """Write the table as a suite, FILE.csv, for `bench` and `verify`.

        Raises:
            ConvbenchError: it cannot be written, or exists and `overwrite` is False.
        """
        import io

        from convbench.results import put_text
        from convbench.show.models import write_suite

        text = io.StringIO()
        write_suite(self.costs, text)
        put_text(path, text.getvalue(), overwrite=overwrite)

    def to_frame(self) -> "DataFrame":
        """A pandas DataFrame with the columns of that suite."""
        import io

        import pandas as pd

        from convbench.show.models import write_suite

        text = io.StringIO()
        write_suite(self.costs, text)
        return pd.read_csv(io.StringIO(text.getvalue()))


class Optimized(Shown):
    """A model with the fastest way to run it on this CPU; call it like the model.

    Attributes:
        model: the model itself, unchanged.
        winner: the candidate that runs.
        candidates: a row for each, with its time, its ratio to eager, its error and its bill; empty with a plan.
        plan: what `save_plan` writes.
        race: all of the race; None with a plan.
    """

    __slots__ = ("_entry", "_fast", "model", "plan", "race", "winner")

    def __init__(self, fast: "FastModel", plan: "TunedPlan", entry: Mapping[str, Any], race: "Race | None") -> None:
        self._fast, self.plan, self._entry, self.race = fast, plan, entry, race
        self.model = fast.model
        self.winner = str(entry["winner"])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._fast(*args, **kwargs)

    @property
    def candidates(self) -> "tuple[CandidateRow, ...]":
        return () if self.race is None else self.race.rows

    def lines(self, candidate: str | None = None) -> str:
        """The code that runs the model as a candidate does; by default as the winner.

        Raises:
            ConvbenchError: there is no such candidate.
        """
        from convbench.optimize.candidates import lines_of

        terms: dict[str, Any] = {
            "shapes": str(self._entry["input"]),
            "threads": self.plan.threads,
            "accuracy": self.plan.accuracy,
        }
        return "\n".join(lines_of(candidate or self.winner, **terms))

    def save_plan(self, path: File) -> None:
        """Write the plan, for `optimize(..., plan=path)` in another process on this machine.

        Raises:
            ConvbenchError: it cannot be written.
        """
        self.plan.save(path)

    def text(self, width: int | None = None) -> str:
        """The tables and the answer in `width` columns (60 to 120); by default as wide as the terminal."""
        width = text_width(width)
        if self.race is None:
            from convbench.optimize.plans import brought

            return f"{self._entry['name']}, by a plan: {brought(self._entry)}"
        from convbench.show.optimize import page

        return as_text([page(self.race, width)], width)

    def __reduce__(self) -> Any:
        raise ConvbenchError(
            "a fast model has code and memory of this process, so it cannot be pickled or copied; use save_plan(FILE) "
            "and in the other process convbench.optimize(model, x, plan=FILE), which does not race again"
        )


@dataclass(frozen=True, slots=True)
class _Axes:
    """The words of the axes; None for the usual ones."""

    dtypes: Words
    layouts: Words
    devices: Words
    precisions: Words
    passes: Words
    epilogues: Words
    accuracies: Words

    def __post_init__(self) -> None:
        for one in fields(self):
            _words(one.name, getattr(self, one.name))


@dataclass(frozen=True, slots=True)
class _How:
    """How a session runs."""

    threads: int
    isolate: bool | None
    timeout_s: float | None
    memory_nbytes: int | None
    csv: File | None
    overwrite: bool
    progress: bool

    def __post_init__(self) -> None:
        _check_threads(self.threads)
        if not isinstance(self.csv, str | os.PathLike | None):
            raise ConvbenchError(f"csv={self.csv!r}: give the name of a file")
        for name, limit in (("timeout_s", self.timeout_s), ("memory_nbytes", self.memory_nbytes)):
            if limit is not None:
                _number(name, limit)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A selection, what it was called with, and how the local backends are called in Python, by name."""

    selection: "Selection"
    call: str
    local: dict[str, str]


def _select(
    backends: Implementation | Sequence[Implementation] | None,
    on: Problems,
    axes: _Axes,
    where: Callable[[ConvSpec], bool] | None,
    plugins: Words,
    seed: int,
    defaults: "Defaults",
    notes: list[str],
) -> _Chosen:
    from convbench.functions import as_backend
    from convbench.selection import listed, select
    from convbench.suites.choose import tell_apart

    given: list[Implementation] | None = None
    if backends is not None:
        anything: Any = backends
        single = isinstance(anything, str | Backend) or callable(anything) or not isinstance(anything, Iterable)
        given = [anything] if single else list(anything)
    for one in given or ():
        if not (isinstance(one, str | Backend) or callable(one)):
            raise ConvbenchError(f"backends: {one!r} is none; give names, Backends and functions, one or a list")
    if where is not None and not callable(where):
        raise ConvbenchError(f"where={where!r}: give a function of a ConvSpec, such as lambda spec: spec.r == 3")
    _check_integer("seed", seed)
    python: dict[str, str] = {}
    made: list[str | Backend | Callable[..., Any]] | None = None if given is None else []
    for one in given or ():
        backend = one if isinstance(one, str | Backend) else as_backend(one)
        if not isinstance(backend, str):
            python[backend.name] = python_name(backend.fn if isinstance(one, Backend) else one)
        if made is not None:
            made.append(backend)
    suites, shapes = tell_apart(map(str, _texts(on)))
    selection = select(
        suites=suites,
        shapes=shapes,
        backends=made,
        plugins=_words("plugins", plugins) or (),
        dtypes=listed(axes.dtypes),
        layouts=listed(axes.layouts),
        devices=listed(axes.devices),
        precisions=listed(axes.precisions),
        passes=listed(axes.passes),
        epilogues=listed(axes.epilogues),
        accuracies=listed(axes.accuracies),
        seed=seed,
        defaults=defaults,
        tell=notes.append,
    )
    if where is not None:
        cases = [case for case in selection.cases if where(case.spec)]
        if not cases:
            raise NothingSelected(f"where leaves none of {len(selection.cases):,} cases; nothing was run")
        selection = replace(selection, cases=cases)
    names = [one.name for one in selection.backends]
    return _Chosen(selection, f"{names}, on={on if isinstance(on, str) else [*map(str, _texts(on))]!r}", python)


def _run(chosen: _Chosen, work: "Verify | Bench", how: _How, notes: list[str]) -> Results:
    from contextlib import closing

    from convbench.session import Session
    from convbench.show.progress import progress

    selection = chosen.selection
    kind = type(work).__name__.lower()
    session = Session(
        selection,
        work,
        csv=None if how.csv is None else os.fspath(how.csv),
        overwrite=how.overwrite,
        command=f"convbench.{kind}({chosen.call})",
        threads=how.threads,
        isolate=how.isolate,
        timeout_s=how.timeout_s,
        memory_nbytes=how.memory_nbytes,
        tell=notes.append,
    )
    if selection.local:
        notes.append(
            f"not isolated: {', '.join(selection.local)} ran in this process, so a crash or a hang would have ended "
            f"it; put it in a file with @backend, and give plugins='FILE.py'"
        )
    names = [case.problem.name for case in session.remaining]
    with progress(names, shown=how.progress) as advance, closing(session.run()) as finished:
        for _ in finished:
            advance()

    def reproduce(result: Result) -> str:
        if result.backend not in selection.local:
            return session.reproduce(result)
        return _call(chosen.local.get(result.backend, result.backend), result, session.reproduce(result))

    return Results.of_session(session, notes, reproduce)


def _call(name: str, result: Result, command: str) -> str:
    """The call that reproduces a result of a function of this program, which no command can load."""
    case = result.case
    axes = {
        "dtypes": case.dtype,
        "layouts": case.layout,
        "devices": case.device,
        "precisions": case.precision,
        "passes": case.pass_,
        "epilogues": case.epilogue,
    }
    if case.accuracy != ACCURACIES[0]:
        axes["accuracies"] = case.accuracy
    words = ", ".join(f'{axis}="{word}"' for axis, word in axes.items())
    timed = command.startswith("convbench bench")
    return f'convbench.{"bench" if timed else "verify"}({name}, on="{case.problem.text}", {words}, seed={case.seed})'


def _check_integer(name: str, given: Any, more: str = "") -> None:
    """Raise a ConvbenchError if it is no whole number."""
    if isinstance(given, bool) or not isinstance(given, int):
        raise ConvbenchError(f"{name}={given!r}: give an integer{more}")


def _check_threads(given: Any) -> None:
    _check_integer("threads", given, ", such as 2, or 0 for as many as torch has")


def _number(name: str, given: Any) -> float:
    """A number as a float.

    Raises:
        ConvbenchError: it is none.
    """
    if isinstance(given, bool) or not isinstance(given, Real):
        raise ConvbenchError(f"{name}={given!r}: give a number, not a {type(given).__name__}")
    return float(given)


def _share(name: str, given: Any) -> float:
    """A share below 1, or a text as the command line takes it.

    Raises:
        ConvbenchError: it is neither; a number from 1 up is more likely a percentage.
    """
    if isinstance(given, str):
        return fraction(f"{name}={given!r}", given)
    value = _number(name, given)
    if value >= 1:
        hint = f"; did you mean {value / 100:g}?" if value < 100 else ""
        raise ConvbenchError(
            f"{name}={given!r} is {100 * value:g} %: give a fraction such as 0.05, or a text such as '5%'{hint}"
        )
    return value


def _dtype_names(dtypes: Dtypes) -> Words:
    """The words of a list, or of one, that may hold torch's dtypes."""
    if dtypes is None or isinstance(dtypes, str):
        return dtypes
    from convbench.call.tensors import TORCH_DTYPE

    names = {kind: name for name, kind in TORCH_DTYPE.items()}
    given = list(dtypes) if isinstance(dtypes, Iterable) else [dtypes]
    return [str(names.get(one, one)) for one in given]


def _words(name: str, given: Any) -> list[str] | None:
    """The words of a text or a list, or the paths of files.

    Raises:
        ConvbenchError: it is neither.
    """
    from convbench.selection import listed

    given = os.fspath(given) if isinstance(given, os.PathLike) else given
    try:
        return listed(given if given is None or isinstance(given, str) else [os.fspath(one) for one in given])
    except TypeError:
        raise ConvbenchError(f"{name}={given!r}: give a text, or a list of texts") from None


def _texts(on: Problems) -> list[str | ConvSpec]:
    from convbench.selection import listed

    frame: Any = on
    columns = getattr(frame, "columns", None)
    if columns is not None:  # a DataFrame, whose own list is that of its columns
        if "spec" not in columns:
            raise ConvbenchError(f"on= is a {type(on).__name__} without a column spec; give problems as text")
        return list(dict.fromkeys(map(str, frame.spec)))
    if not isinstance(on, str | Iterable | ConvSpec):
        raise ConvbenchError(f"on={on!r}: give a suite, a problem, or a list of these")
    return [on] if isinstance(on, ConvSpec) else listed(on) or []


def _inputs(x: "Tensor | Sequence[Tensor] | Sequence[int] | None") -> "list[GivenInput] | None":
    """The sizes of each input; floating-point numbers take the model's own dtype, whole ones keep theirs."""
    import torch

    from convbench.models.inputs import GivenInput

    if x is None:
        return None
    given: Iterable[Any] = [x] if isinstance(x, torch.Tensor) else list(x)
    tensors = [one for one in given if isinstance(one, torch.Tensor)]
    if not tensors:
        return [GivenInput(shape=tuple(int(size) for size in given))]
    return [
        GivenInput(
            shape=tuple(one.shape), dtype="" if one.is_floating_point() else str(one.dtype).removeprefix("torch.")
        )
        for one in tensors
    ]
